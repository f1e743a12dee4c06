// What sampling takes and gives, for every backend.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/types.h"

namespace caudal {

struct TokenCount {
  TokenId token = 0;
  std::int32_t output_count = 0;  // times in the output; 0 = only in the prompt
};

// One row of logits to sample from. Pointers and spans are of host memory that lives through the call.
struct SamplingRow {
  const SamplingParams* params = nullptr;
  std::int64_t position = 0;           // of the token to be sampled; the counter of the generator
  std::span<const TokenCount> counts;  // each distinct token so far; read only with penalties
  std::span<const TokenId> banned;     // masked to -inf: stop tokens before min_tokens, ends of bad words
  // Bit t % 64 of word t / 64 says whether token t may be sampled, for all tokens of the vocabulary; empty: all may.
  std::span<const std::uint64_t> allowed{};
  std::span<const TokenId> logprob_tokens{};  // told besides, where log-probabilities are asked for
};

struct SamplingOutput {
  TokenId token = 0;
  bool valid = true;  // false: the row held NaN, or every token was masked
  // Of the unmodified distribution: the sampled token, then the most likely, then the row's `logprob_tokens`.
  std::vector<TokenLogprob> logprobs;
};

// Tokens that the device may still be sampling.
class PendingSamples {
 public:
  virtual ~PendingSamples() = default;
  // Whether wait() would return at once.
  virtual bool ready() = 0;
  // Waits for the tokens, one per row. To be called once.
  virtual void wait(std::span<SamplingOutput> out) = 0;
};

}  // namespace caudal
