// A group whose ranks are threads of one process: tests, and a group of one.
#pragma once

#include <memory>
#include <vector>

#include "kernels/comm/communicator.h"

namespace caudal {

// `size` communicators of one group; element r is rank r's, to be used by one thread. They share the
// group's staging memory, which lives until the last of them is gone. The deadline is their host exchanges'.
std::vector<std::unique_ptr<Communicator>> make_local_group(
    int size, std::chrono::milliseconds deadline = HostExchange::kDeadline);

}  // namespace caudal
