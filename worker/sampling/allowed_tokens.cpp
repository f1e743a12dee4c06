#include "worker/sampling/allowed_tokens.h"

#include <algorithm>

#include "common/check.h"
#include "worker/sampling/bad_words.h"
#include "worker/sampling/grammars.h"
#include "worker/sampling/thinking.h"

namespace caudal {
namespace {

using Bits = std::vector<std::uint64_t>;

void set_bits(Bits& bits, std::span<const TokenId> tokens, std::int64_t vocab_size, bool value) {
  for (const TokenId token : tokens) {
    if (token < 0 || token >= vocab_size) continue;
    const std::uint64_t bit = std::uint64_t{1} << (token % 64);
    std::uint64_t& word = bits[static_cast<std::size_t>(token) / 64];
    word = value ? word | bit : word & ~bit;
  }
}

bool is_empty(const Bits& bits) {
  return std::ranges::all_of(bits, [](std::uint64_t word) { return word == 0; });
}

std::span<const TokenId> output_of(const SequenceRow& sequence) {
  return std::span(sequence.tokens).subspan(static_cast<std::size_t>(sequence.num_prompt_tokens));
}

}  // namespace

AllowedTokens::AllowedTokens(std::int64_t vocab_size, std::shared_ptr<Grammars> grammars)
    : vocab_size_(vocab_size), grammars_(std::move(grammars)) {}

void AllowedTokens::clear() {
  num_bits_ = 0;
  banned_.clear();
}

AllowedTokens::Bits& AllowedTokens::take_bits() {
  if (num_bits_ == bits_.size()) bits_.emplace_back(static_cast<std::size_t>(vocab_size_ + 63) / 64);
  return bits_[num_bits_++];
}

// As it would be if the drafts were the sequence's own: min_tokens and bad words count them, too.
void AllowedTokens::fill(const SequenceRow& sequence, std::span<const TokenId> drafts, SamplingRow& row) {
  const SamplingParams& params = sequence.params.sampling;
  const StopParams& stop = sequence.params.stop;
  const bool is_early = sequence.num_output_tokens() + std::ssize(drafts) < stop.min_tokens;
  const bool has_grammar = params.grammar.kind != GrammarKind::kNone;
  // What ends the thinking comes before all other rules.
  if (const auto only = end_of_thinking(params.thinking, output_of(sequence), drafts)) {
    Bits& allowed = take_bits();
    std::ranges::fill(allowed, 0);
    set_bits(allowed, std::span(&*only, 1), vocab_size_, true);
    row.allowed = allowed;
    return;
  }
  if (is_early) row.banned = stop.stop_token_ids;
  if (!params.bad_words.empty()) {
    std::vector<TokenId>& banned = banned_.emplace_back(row.banned.begin(), row.banned.end());
    append_banned(sequence, drafts, banned);
    row.banned = banned;
  }
  if (!has_grammar && params.allowed_token_ids.empty()) return;
  Bits& allowed = take_bits();
  allow(sequence, drafts, allowed);
  const Bits before = is_early && has_grammar ? allowed : Bits();
  set_bits(allowed, row.banned, vocab_size_, false);
  // An output that its grammar lets go on no more ends before its time.
  if (!before.empty() && is_empty(allowed)) allowed = before;
  row.banned = {};
  row.allowed = allowed;
}

void AllowedTokens::allow(const SequenceRow& sequence, std::span<const TokenId> drafts, Bits& allowed) {
  const SamplingParams& params = sequence.params.sampling;
  std::ranges::fill(allowed, ~std::uint64_t{0});
  if (params.grammar.kind != GrammarKind::kNone) {
    CHECK(grammars_ != nullptr);
    grammars_->fill_allowed(sequence, drafts, allowed);
  }
  if (params.allowed_token_ids.empty()) return;
  Bits listed(allowed.size(), 0);
  set_bits(listed, params.allowed_token_ids, vocab_size_, true);
  for (std::size_t i = 0; i < allowed.size(); ++i) allowed[i] &= listed[i];
}

}  // namespace caudal
