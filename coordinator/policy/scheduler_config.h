// SchedulerConfig: the scheduler's limits. Checked by whoever reads the configuration; each replica's own
// limits (ReplicaInfo) apply as well, and the smaller one counts.
#pragma once

#include <algorithm>

#include "common/block_hash.h"
#include "coordinator/policy/tenants.h"

namespace caudal {

struct SchedulerConfig {
  std::int32_t max_tokens_per_step = 2048;
  std::int32_t max_num_sequences = 256;  // running on one replica
  std::int32_t max_waiting = 4096;       // sequences; more are refused, preempted ones always return
  std::int32_t max_plans_in_flight = 2;  // per replica
  std::int32_t max_preemptions = 4;      // of a sequence; then it waits for all the blocks it can ever need
  std::int32_t oldest_every = 3;         // every n-th turn is the oldest waiting sequence's; 0: never
  TenantConfig tenants{};
  bool chunked_prefill = true;
  SpeculativeMode speculative = SpeculativeMode::kAuto;  // unless a request says otherwise
  // Between two tokens of a running sequence: prompts get what this leaves of a step. 0: a step's whole budget.
  // Needs chunked prefill.
  std::int64_t itl_target_us = 0;
  bool prefix_caching = true;
  HashKey prefix_key = {};  // random per start, so that nobody outside can aim for collisions

  std::int32_t step_tokens(const ReplicaInfo& info) const {
    return std::min(max_tokens_per_step, info.max_tokens_per_step);
  }
  std::int32_t batch_sequences(const ReplicaInfo& info) const {
    return std::min(max_num_sequences, info.max_num_sequences);
  }
};

}  // namespace caudal
