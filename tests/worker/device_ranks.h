// How the ranks of a replica on the stand-in for CUDA talk.
#pragma once

#include "kernels/comm/staged.h"
#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/cuda/comm/nccl.h"
#include "tests/worker/same_answers.h"

namespace caudal {

inline std::unique_ptr<Communicator> through_the_host(Backend& backend, std::unique_ptr<Communicator> local) {
  return make_staged_communicator(backend, std::move(local));
}

inline std::unique_ptr<Communicator> over_nccl(Backend& backend, std::unique_ptr<Communicator> local) {
  cuda::CudaContext& context = static_cast<cuda::CudaBackend&>(backend).context();
  return std::move(make_nccl_communicator(context, std::move(local))).value();
}

}  // namespace caudal
