#include "worker/cache/memory_plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "common/block_size.h"

namespace caudal {
namespace {

std::string human(std::size_t bytes) {
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes) / 1024.0;
  std::size_t unit = 0;
  for (; value >= 1024.0 && unit + 1 < kUnits.size(); ++unit) value /= 1024.0;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace

std::string MemoryPlan::describe() const {
  std::string text = fmt::format("weights {}, workspace {}, KV {} in {} blocks of {} tokens", human(weights_bytes),
                                 human(workspace_bytes), human(kv_bytes()), num_blocks, kBlockSize);
  if (num_host_blocks > 0) {
    const std::size_t host_bytes = host_block_bytes * static_cast<std::size_t>(num_host_blocks);
    text += fmt::format(", and {} of host memory for {} blocks", human(host_bytes), num_host_blocks);
  }
  return text;
}

Result<MemoryPlan> plan_memory(const MemoryNeeds& needs, const KvBudget& budget, std::size_t free_bytes) {
  if (budget.num_blocks > 0 && budget.kv_cache_bytes > 0)
    return Error{"choose one of --num-blocks and --kv-cache-bytes", "num-blocks"};
  if (!(budget.memory_fraction > 0.0) || budget.memory_fraction > 1.0)
    return Error{"--memory-fraction must be above 0 and at most 1", "memory-fraction"};
  MemoryPlan plan{needs.weights_bytes, needs.workspace_bytes, needs.block_bytes, 0};
  const std::size_t ranks = budget.ranks_on_device;
  const std::size_t fixed = plan.total_bytes();
  std::size_t share = free_bytes / ranks;
  const char* flag = "memory-fraction";
  if (budget.num_blocks > 0) {
    flag = "num-blocks";
    plan.num_blocks = budget.num_blocks;
  } else if (budget.kv_cache_bytes > 0) {
    flag = "kv-cache-bytes";
    plan.num_blocks = static_cast<std::int64_t>(budget.kv_cache_bytes / plan.block_bytes);
  } else {
    share = static_cast<std::size_t>(static_cast<double>(share) * budget.memory_fraction);
    const std::size_t left = share > fixed ? share - fixed : 0;
    plan.num_blocks = std::min(static_cast<std::int64_t>(left / plan.block_bytes), needs.most_useful_blocks);
  }
  if (fixed > share) {
    return Error{
        fmt::format("the model does not fit: weights {} and workspace {} are {} more than the {} this rank may use",
                    human(plan.weights_bytes), human(plan.workspace_bytes), human(fixed - share), human(share)),
        flag};
  }
  const auto blocks_that_fit = static_cast<std::int64_t>(share > fixed ? (share - fixed) / plan.block_bytes : 0);
  if (plan.num_blocks < 1 && blocks_that_fit > 0) {
    return Error{fmt::format("--{} leaves no KV block of {}", flag, human(plan.block_bytes)), flag};
  }
  if (plan.num_blocks < 1 || plan.num_blocks > blocks_that_fit) {
    return Error{fmt::format("--{} does not fit: weights {} and workspace {} leave room for {} KV blocks of {} in {}",
                             flag, human(plan.weights_bytes), human(plan.workspace_bytes), blocks_that_fit,
                             human(plan.block_bytes), human(share)),
                 flag};
  }
  return plan;
}

}  // namespace caudal
