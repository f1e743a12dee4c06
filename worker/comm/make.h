// The factory of communicators: make.cpp is the only file that knows which ones this build has.
#pragma once

#include <mpi.h>

#include <memory>
#include <string>

#include "worker/comm/communicator.h"

namespace caudal {

// For the ranks of `group` on devices of kind `device` ("cpu"). `group` must outlive the communicator.
std::unique_ptr<Communicator> make_communicator(const std::string& device, MPI_Comm group);

}  // namespace caudal
