// SwapCost: whether a preempted sequence is better copied to host memory and back than computed again, from what the
// replica was measured to take for both. Integers only: the same answers give the same plans.
#pragma once

#include <cstdint>

namespace caudal {

struct SwapCost {
  std::int32_t num_blocks = 0;       // to be copied, out and in again
  std::int32_t num_lost_tokens = 0;  // computed, and in no block that others hold: to be computed again else
  std::int64_t block_ns = 0;         // one block to the host and back; 0: not measured
  std::int64_t prompt_token_ns = 0;  // computing one token of a prompt; 0: not measured

  std::int64_t swap_ns() const { return num_blocks * block_ns; }
  std::int64_t recompute_ns() const { return num_lost_tokens * prompt_token_ns; }

  // Not while one of them is unknown: computing again always works, and the host blocks stay for others.
  bool swap_is_cheaper() const { return block_ns > 0 && prompt_token_ns > 0 && swap_ns() < recompute_ns(); }
};

}  // namespace caudal
