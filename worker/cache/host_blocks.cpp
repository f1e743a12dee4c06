#include "worker/cache/host_blocks.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

namespace caudal {

Result<void> plan_host_blocks(const HostBlocksBudget& budget, std::size_t block_bytes, std::size_t free_host_bytes,
                              MemoryPlan& plan) {
  const std::size_t share = free_host_bytes / static_cast<std::size_t>(budget.ranks_on_host);
  const std::size_t kv_bytes = block_bytes * static_cast<std::size_t>(plan.num_blocks);
  const std::size_t bytes = budget.bytes.value_or(std::min({kv_bytes, kMostHostBytes, share / kShareOfHost}));
  if (bytes > share) {
    return Error{fmt::format("--swap-bytes of {} MiB does not fit: the host has {} MiB left for this rank", bytes >> 20,
                             share >> 20),
                 "swap-bytes"};
  }
  plan.host_block_bytes = block_bytes;
  plan.num_host_blocks = static_cast<std::int64_t>(std::min<std::size_t>(bytes / block_bytes, 0x7FFFFFFF));
  return {};
}

std::int64_t measure_transfer_ns(Backend& backend, const KvCache& device, const KvCache& host) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kMostBlocks = 64;
  constexpr int kRepeats = 3;
  const std::int64_t num_blocks = std::min({kMostBlocks, device.num_blocks(), host.num_blocks()});
  if (num_blocks == 0) return 0;
  std::vector<BlockPair> out, back;
  for (std::int64_t i = 0; i < num_blocks; ++i) {  // in the other direction there: no two are neighbours in both
    const auto on_device = static_cast<std::int32_t>(i);
    const auto on_host = static_cast<std::int32_t>(num_blocks - 1 - i);
    out.push_back({on_device, on_host});
    back.push_back({on_host, on_device});
  }
  Clock::duration best = Clock::duration::max();
  for (int i = 0; i <= kRepeats; ++i) {
    backend.synchronize();
    const Clock::time_point begin = Clock::now();
    device.copy_blocks(backend, out, host);
    host.copy_blocks(backend, back, device);
    backend.synchronize();
    if (i > 0) best = std::min(best, Clock::now() - begin);  // the first touches the memory
  }
  return std::max<std::int64_t>(std::chrono::nanoseconds(best).count() / num_blocks, 1);
}

}  // namespace caudal
