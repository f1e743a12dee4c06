// AllowedTokens: which tokens may be sampled next. All that forbids tokens comes together here: the request's own list,
// its grammar, the end of its thinking, stop tokens before min_tokens, bad words. Owned by the sampler, used by the
// step thread.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "worker/batch/sequence_table.h"

namespace caudal {

class Grammars;

class AllowedTokens {
 public:
  // `grammars` may be null: then no sequence has one.
  AllowedTokens(std::int64_t vocab_size, std::shared_ptr<Grammars> grammars);

  // Fills in what of the row follows from the sequence's output and then `drafts`. Valid until clear().
  void fill(const SequenceRow& sequence, std::span<const TokenId> drafts, SamplingRow& row);
  void clear();

 private:
  using Bits = std::vector<std::uint64_t>;
  Bits& take_bits();
  // Without what is banned.
  void allow(const SequenceRow& sequence, std::span<const TokenId> drafts, Bits& allowed);

  std::int64_t vocab_size_;
  std::shared_ptr<Grammars> grammars_;
  std::deque<Bits> bits_;  // of the rows since clear(), and spare ones
  std::size_t num_bits_ = 0;
  std::deque<std::vector<TokenId>> banned_;
};

}  // namespace caudal
