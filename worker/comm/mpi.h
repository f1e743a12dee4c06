// A group whose ranks are processes of one mpirun. Host memory only: for the CPU backend.
#pragma once

#include <mpi.h>

#include <memory>

#include "kernels/comm/communicator.h"

namespace caudal {

// `group` must live as long as the communicator; only one thread may use it, and MPI must allow that
// thread (MPI_THREAD_SERIALIZED). MPI's default error handler ends the whole job on a failure. The deadline is its host
// exchange's.
std::unique_ptr<Communicator> make_mpi_communicator(MPI_Comm group,
                                                    std::chrono::milliseconds deadline = HostExchange::kDeadline);

}  // namespace caudal
