// What --plan prints: what every rank of a replica would take, before anything is loaded.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernels/backend.h"
#include "kernels/comm/communicator.h"
#include "worker/runner/startup.h"

namespace caudal {

// Of one rank, in bytes. The last is host memory, the others are the device's.
struct RankMemory {
  std::size_t weights = 0, workspace = 0, kv = 0, host_kv = 0;
  bool operator==(const RankMemory&) const = default;
};

// The plan in words, and in bytes for each rank and for all. All ranks of the group call it and get the same.
Result<std::string> report_plan(Backend& backend, Communicator& group, const std::filesystem::path& model,
                                const RunnerOptions& options);

// The same by this process alone: each of `ranks` on a thread and with a device of its own, which `make` makes.
Result<std::string> report_plan_of_all(int ranks, const std::function<Result<std::unique_ptr<Backend>>(int rank)>& make,
                                       const std::filesystem::path& model, const RunnerOptions& options);

}  // namespace caudal
