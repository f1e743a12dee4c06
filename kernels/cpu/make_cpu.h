// What kernels/factory/make_backend.cpp sees of the CPU backend.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace caudal {

// An Error for a max_isa that is unknown or cores that do not exist.
Result<std::unique_ptr<Backend>> make_cpu_backend(const BackendOptions& options);

}  // namespace caudal
