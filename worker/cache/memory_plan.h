// MemoryPlan: what weights, workspace and KV blocks of a rank take. Made before anything is allocated, never exceeded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "common/result.h"

namespace caudal {

// What a rank takes of the memory that is free at its start, unless told otherwise: a host has other work than this.
inline constexpr double kHostMemoryFraction = 0.5;
inline constexpr double kGpuMemoryFraction = 0.9;

// How much memory the KV cache may have. At most one of the first two is set; else memory_fraction of what is
// free on the device, shared evenly by the ranks on it, is for weights, workspace and KV together.
struct KvBudget {
  std::int64_t num_blocks = 0;
  std::size_t kv_cache_bytes = 0;
  double memory_fraction = kHostMemoryFraction;
  int ranks_on_device = 1;
  int ranks_on_host = 0;  // of all replicas, where the device is the host; 0 = those of this mpirun
};

// What a rank needs to know about itself to plan.
struct MemoryNeeds {
  std::size_t weights_bytes = 0;
  std::size_t workspace_bytes = 0;
  // K and V of 16 tokens in the layers of one KV group, which are as many bytes in each group; and the draft model's.
  std::size_t block_bytes = 0;
  std::int64_t most_useful_blocks = 0;  // all sequences at their longest
};

struct MemoryPlan {
  std::size_t weights_bytes = 0;
  std::size_t workspace_bytes = 0;
  std::size_t block_bytes = 0;
  std::int64_t num_blocks = 0;
  std::size_t host_block_bytes = 0;  // of the host pool, which is not of the device's memory
  std::int64_t num_host_blocks = 0;

  std::size_t kv_bytes() const { return block_bytes * static_cast<std::size_t>(num_blocks); }
  std::size_t total_bytes() const { return weights_bytes + workspace_bytes + kv_bytes(); }
  // "weights 494.0 MiB, workspace 120.3 MiB, KV 2.0 GiB in 10922 blocks of 16 tokens, and 512.0 MiB of host memory for
  // 2730 blocks"
  std::string describe() const;
};

// An Error that names the flag when the budget leaves no block, or is more than what is free.
Result<MemoryPlan> plan_memory(const MemoryNeeds& needs, const KvBudget& budget, std::size_t free_bytes);

}  // namespace caudal
