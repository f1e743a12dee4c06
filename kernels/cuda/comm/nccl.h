// A group whose ranks each have a GPU of their own, over NCCL. Collectives are queued on the backend's compute stream
// and may be captured in graphs; nothing here waits for them. Failures of other ranks are noticed where the host
// waits for the device: the communicator watches from there (CudaContext::set_watch).
#pragma once

#include <memory>

#include "kernels/comm/communicator.h"
#include "kernels/cuda/backend/cuda_context.h"

namespace caudal {

// All ranks call it; blocks until they have met or the deadline has passed. `host` is a communicator of the same ranks
// on the host: MPI's, or threads' in tests. `context` must outlive the communicator. NCCL adds in an order that depends
// on a message's size; with `ordered_sums` it only gathers, and every rank adds in the order of ranks.
Result<std::unique_ptr<Communicator>> make_nccl_communicator(cuda::CudaContext& context,
                                                             std::unique_ptr<Communicator> host,
                                                             bool ordered_sums = false);

}  // namespace caudal
