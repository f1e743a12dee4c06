// The factory of communicators: make.cpp is the only file that knows which ones this build has.
#pragma once

#include <mpi.h>

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "worker/comm/communicator.h"

namespace caudal {

struct CommOptions {
  bool peer_memory = true;    // short all-reduces between the GPUs of a host without NCCL
  bool ordered_sums = false;  // of long all-reduces too: in the order of ranks, whatever the size of a message
};

// For the ranks of `group` on devices of kind `device`; rank 0 logs how they talk. `group` and `backend` must outlive
// the communicator. All ranks call it.
Result<std::unique_ptr<Communicator>> make_communicator(const std::string& device, Backend& backend, MPI_Comm group,
                                                        const CommOptions& options);

}  // namespace caudal
