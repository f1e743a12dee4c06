// What kernels/factory/make_backend.cpp sees of the CUDA backend.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace caudal {
namespace cuda {

class CudaContext;

// make_nccl_communicator() of kernels/cuda/comm/nccl.h, or null in builds without NCCL.
using NcclMaker = Result<std::unique_ptr<Communicator>> (*)(CudaContext&, std::unique_ptr<Communicator> host,
                                                            bool ordered_sums);

}  // namespace cuda

// GPU options.gpu of this host, or an Error that says what is missing.
Result<std::unique_ptr<Backend>> make_cuda_backend(const BackendOptions& options, cuda::NcclMaker make_nccl);

}  // namespace caudal
