// What kernels/factory/make_backend.cpp sees of the CUDA backend.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace caudal {

// GPU options.gpu of this host, or an Error that says what is missing.
Result<std::unique_ptr<Backend>> make_cuda_backend(const BackendOptions& options);

}  // namespace caudal
