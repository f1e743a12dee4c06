// TransferCost: whether blocks are better copied than their tokens computed again, from what the replica was measured
// to take for both. Integers only: the same answers give the same plans.
#pragma once

#include <cstdint>

namespace caudal {

struct TransferCost {
  std::int32_t num_blocks = 0;       // to be copied
  std::int32_t num_tokens = 0;       // that need not be computed then
  std::int64_t block_ns = 0;         // of one block; 0: not measured
  std::int64_t prompt_token_ns = 0;  // computing one token of a prompt; 0: not measured

  // Not while one of them is unknown: computing always works, and the blocks stay for others.
  bool is_cheaper() const {
    return block_ns > 0 && prompt_token_ns > 0 && num_blocks * block_ns < num_tokens * prompt_token_ns;
  }
};

}  // namespace caudal
