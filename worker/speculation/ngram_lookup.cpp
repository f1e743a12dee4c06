#include "worker/speculation/ngram_lookup.h"

#include <algorithm>

namespace caudal {
namespace {

// How many tokens before `end` (which is included) equal the last ones of `tokens`.
std::int32_t match_length(std::span<const TokenId> tokens, std::size_t end, std::int32_t longest) {
  const std::size_t max_length = std::min(end + 1, static_cast<std::size_t>(longest));
  const TokenId* a = tokens.data() + end;
  const TokenId* b = tokens.data() + tokens.size() - 1;
  std::size_t length = 0;
  while (length < max_length && *(a - length) == *(b - length)) ++length;
  return static_cast<std::int32_t>(length);
}

}  // namespace

std::vector<TokenId> look_up_ngram(std::span<const TokenId> tokens, std::int32_t max_tokens,
                                   const NgramOptions& options) {
  tokens = tokens.last(std::min(tokens.size(), static_cast<std::size_t>(options.reach)));
  std::int32_t best_length = options.shortest - 1;
  std::size_t next = tokens.size();  // the token after the best match
  for (std::size_t end = tokens.size() - std::min<std::size_t>(tokens.size(), 1); end-- > 0;) {
    if (tokens[end] != tokens.back()) continue;
    const std::int32_t length = match_length(tokens, end, options.longest);
    if (length <= best_length) continue;
    best_length = length;
    next = end + 1;
    if (length == options.longest) break;
  }
  std::vector<TokenId> drafts;
  if (next == tokens.size()) return drafts;
  const std::size_t period = tokens.size() - next;
  for (std::size_t i = 0; i < static_cast<std::size_t>(max_tokens); ++i) {
    drafts.push_back(i < period ? tokens[next + i] : drafts[i - period]);
  }
  return drafts;
}

}  // namespace caudal
