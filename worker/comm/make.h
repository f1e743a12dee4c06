// The group of a replica's ranks.
#pragma once

#include <mpi.h>

#include <memory>

#include "kernels/backend.h"
#include "kernels/comm/communicator.h"

namespace caudal {

// For the ranks of `group` with such backends. `group` and `backend` must outlive the communicator. All ranks call it.
Result<std::unique_ptr<Communicator>> make_communicator(Backend& backend, MPI_Comm group, const CommOptions& options);

}  // namespace caudal
