#include "worker/sampling/bad_words.h"

#include <algorithm>

namespace caudal {
namespace {

// Whether `output` followed by `drafts` ends with `beginning`.
bool ends_with(std::span<const TokenId> output, std::span<const TokenId> drafts, std::span<const TokenId> beginning) {
  if (beginning.size() > output.size() + drafts.size()) return false;
  const std::size_t in_drafts = std::min(beginning.size(), drafts.size());
  const std::size_t in_output = beginning.size() - in_drafts;
  return std::ranges::equal(drafts.last(in_drafts), beginning.last(in_drafts)) &&
         std::ranges::equal(output.last(in_output), beginning.first(in_output));
}

}  // namespace

void append_banned(const SequenceRow& sequence, std::span<const TokenId> drafts, std::vector<TokenId>& banned) {
  const auto output = std::span(sequence.tokens).subspan(sequence.num_prompt_tokens);
  for (const std::vector<TokenId>& word : sequence.params.sampling.bad_words) {
    if (ends_with(output, drafts, std::span(word).first(word.size() - 1))) banned.push_back(word.back());
  }
}

}  // namespace caudal
