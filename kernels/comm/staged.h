// A communicator for devices whose ranks talk through the host: each tensor is copied to host memory, exchanged
// there by a communicator of the host (mpi or local), and copied back. For two ranks that share one GPU, which NCCL
// does not serve, and for machines without NCCL. Every call waits for the device.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "kernels/comm/communicator.h"

namespace caudal {

// `backend` must outlive the communicator; both are the step thread's.
std::unique_ptr<Communicator> make_staged_communicator(Backend& backend, std::unique_ptr<Communicator> host);

}  // namespace caudal
