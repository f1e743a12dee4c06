// See trie.h.
#include "common/grammar/automata/trie.h"

#include <algorithm>

namespace caudal::grammar {

Trie::Trie(std::vector<std::pair<std::string_view, std::uint32_t>> values) {
  std::ranges::sort(values);
  nodes_.push_back({0, 0, 0, 0});
  std::vector<std::uint32_t> path{0};  // the nodes of the last string's prefixes
  std::string_view last;
  for (const auto& [text, value] : values) {
    const auto common = static_cast<std::size_t>(std::ranges::mismatch(last, text).in1 - last.begin());
    for (; path.size() > common + 1; path.pop_back()) nodes_[path.back()].end = size() + 1;
    for (std::size_t i = common; i < text.size(); ++i) {
      path.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back({0, static_cast<std::uint32_t>(values_.size()), static_cast<std::uint8_t>(text[i]), 0});
    }
    values_.push_back(value);
    last = text;
  }
  for (; !path.empty(); path.pop_back()) nodes_[path.back()].end = size() + 1;
  nodes_.push_back({size() + 1, static_cast<std::uint32_t>(values_.size()), 0, 0});
  for (std::uint32_t node = size(); node-- > 0;) {
    for (std::uint32_t child = node + 1; child < nodes_[node].end; child = nodes_[child].end)
      nodes_[node].groups =
          static_cast<std::uint16_t>(nodes_[node].groups | nodes_[child].groups | group_of(nodes_[child].byte));
  }
}

}  // namespace caudal::grammar
