// How many blocks of host memory a rank keeps for the KV of preempted sequences, and what it takes to copy one there
// and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "worker/cache/kv_cache.h"
#include "worker/cache/memory_plan.h"

namespace caudal {

struct HostBlocksBudget {
  // Of a rank; none: as much as its KV cache, within the bounds of plan_host_blocks.
  std::optional<std::size_t> bytes{};
  int ranks_on_host = 1;
};

// What a rank without a choice of its own takes at the most: 4 GiB, and an eighth of the host memory that is left
// for it. Sequences are preempted one by one, so that is many more than ever wait.
inline constexpr std::size_t kMostHostBytes = std::size_t{4} << 30;
inline constexpr std::size_t kShareOfHost = 8;

// Fills in the host blocks of `plan`; `block_bytes` is one block of the model's K and V. `free_host_bytes` is what the
// host has beside what the plan takes from it. An Error that names the flag when the budget is more than that.
Result<void> plan_host_blocks(const HostBlocksBudget& budget, std::size_t block_bytes, std::size_t free_host_bytes,
                              MemoryPlan& plan);

// Nanoseconds that one block takes to the host and back, on average over the first ones of both (so that only their
// memory is touched); 0 without host blocks. Blocks of the host are overwritten, those of the device keep what they
// hold.
std::int64_t measure_transfer_ns(Backend& backend, const KvCache& device, const KvCache& host);

}  // namespace caudal
