// A group whose ranks each have a GPU of their own, over NCCL. Collectives are queued on the backend's compute stream
// and may be captured in graphs; nothing here waits for them. Failures of other ranks are noticed where the host
// waits for the device: the communicator watches from there (CudaContext::set_watch).
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "kernels/cuda/cuda_context.h"
#include "worker/comm/communicator.h"

namespace caudal {

// Sets everybody's bytes to rank 0's, over whatever joined the ranks: MPI, or threads in tests. Used once.
using TellAll = std::function<void(std::span<std::byte>)>;

// All ranks call it; blocks until they have met or the deadline has passed. `context` must outlive the communicator.
Result<std::unique_ptr<Communicator>> make_nccl_communicator(cuda::CudaContext& context, int rank, int size,
                                                             const TellAll& tell_all);

}  // namespace caudal
