#include "worker/sampling/thinking.h"

#include <algorithm>

namespace caudal {

std::optional<TokenId> end_of_thinking(const ThinkingParams& thinking, std::span<const TokenId> output) {
  if (thinking.budget < 0 || thinking.end.empty()) return std::nullopt;
  if (!thinking.begin.empty()) {
    const auto begin = std::ranges::search(output, thinking.begin);
    if (begin.empty()) return std::nullopt;
    output = {begin.end(), output.end()};
  }
  if (std::ssize(output) < thinking.budget || !std::ranges::search(output, thinking.end).empty()) return std::nullopt;
  // What ends it may have begun already.
  std::size_t begun = std::min(thinking.end.size() - 1, output.size());
  while (begun > 0 && !std::ranges::equal(output.last(begun), std::span(thinking.end).first(begun))) --begun;
  return thinking.end[begun];
}

}  // namespace caudal
