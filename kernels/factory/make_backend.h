// The factory of backends. make_backend.cpp is the only file that knows which ones this build has.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/backend.h"

namespace caudal {

// An Error when the device is unknown or not usable on this machine.
Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options);

// For a memory plan, on a device that need not be there: "cuda" is a GPU like an H100, whatever this build and this
// machine have; others are made.
Result<std::unique_ptr<Backend>> make_backend_to_plan(const BackendOptions& options);

// Host memory that this process may still take.
std::size_t free_host_bytes();

}  // namespace caudal
