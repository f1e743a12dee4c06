// Draft tokens by prompt lookup (LLMA, arXiv 2304.04487): what followed the newest tokens when they last occurred in
// the same sequence. Pure. One pass over the tokens, from the end.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/types.h"

namespace caudal {

struct NgramOptions {
  std::int32_t shortest = 3;     // tokens that must match
  std::int32_t longest = 8;      // a match of so many ends the search
  std::int32_t reach = 1 << 14;  // tokens that are searched at the most
};

// At most `max_tokens` draft tokens for what follows `tokens`; none when no earlier tokens match its end. The longest
// match decides, of equally long ones the latest. A match that reaches the end repeats itself: after "a b a b a" comes
// "b a".
std::vector<TokenId> look_up_ngram(std::span<const TokenId> tokens, std::int32_t max_tokens,
                                   const NgramOptions& options = {});

}  // namespace caudal
