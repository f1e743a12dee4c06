// Guessing by looking back (prompt lookup decoding; LLMA, arXiv 2304.04487): what followed the last time that the
// sequence's newest tokens stood in it. Pure. One pass over the tokens, from the end.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/types.h"

namespace caudal {

struct NgramOptions {
  std::int32_t shortest = 3;     // tokens that must stand there again
  std::int32_t longest = 8;      // enough of them to stop searching
  std::int32_t reach = 1 << 14;  // tokens searched at the most
};

// At most `max_tokens` guesses at what follows `tokens`; none when its end is new. The longest repeated end decides,
// of equally long ones the latest. A repetition that runs into the end goes on in itself: after "a b a b a" comes "b
// a".
std::vector<TokenId> look_up_ngram(std::span<const TokenId> tokens, std::int32_t max_tokens,
                                   const NgramOptions& options = {});

}  // namespace caudal
