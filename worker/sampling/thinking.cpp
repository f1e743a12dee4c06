#include "worker/sampling/thinking.h"

#include <algorithm>
#include <vector>

namespace caudal {
namespace {

constexpr std::size_t kLatestBegin = 16;  // tokens in front of what opens the thinking

// Of `output` and then `drafts`, from `first` on, `count` at most.
std::vector<TokenId> part_of(std::span<const TokenId> output, std::span<const TokenId> drafts, std::size_t first,
                             std::size_t count) {
  std::vector<TokenId> part;
  const std::size_t end = std::min(first + count, output.size() + drafts.size());
  for (std::size_t i = first; i < end; ++i) part.push_back(i < output.size() ? output[i] : drafts[i - output.size()]);
  return part;
}

// Where the thinking begins; none where it does not.
std::optional<std::size_t> begin_of(std::span<const TokenId> mark, std::span<const TokenId> output,
                                    std::span<const TokenId> drafts) {
  if (mark.empty()) return 0;
  const std::vector<TokenId> front = part_of(output, drafts, 0, kLatestBegin + mark.size());
  const auto found = std::ranges::search(front, mark);
  if (found.empty()) return std::nullopt;
  return static_cast<std::size_t>(found.end() - front.begin());
}

}  // namespace

// Most steps end at one of the first lines: before the budget is used up, and when it must have been long ago.
std::optional<TokenId> end_of_thinking(const ThinkingParams& thinking, std::span<const TokenId> output,
                                       std::span<const TokenId> drafts) {
  if (thinking.budget < 0 || thinking.end.empty()) return std::nullopt;
  const std::optional<std::size_t> begin = begin_of(thinking.begin, output, drafts);
  if (!begin) return std::nullopt;
  const auto budget = static_cast<std::size_t>(thinking.budget);
  const std::size_t size = output.size() + drafts.size() - *begin;
  if (size < budget || size >= budget + thinking.end.size()) return std::nullopt;
  const std::vector<TokenId> thought = part_of(output, drafts, *begin, size);
  if (!std::ranges::search(thought, thinking.end).empty()) return std::nullopt;
  // What ends it may have begun already.
  std::size_t begun = std::min(thinking.end.size() - 1, thought.size());
  while (begun > 0 && !std::ranges::equal(std::span(thought).last(begun), std::span(thinking.end).first(begun)))
    --begun;
  return thinking.end[begun];
}

}  // namespace caudal
