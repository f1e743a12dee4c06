#include "common/grammar/tags/free_text.h"

#include <algorithm>
#include <deque>

#include "common/check.h"

namespace caudal::grammar {

FreeText::FreeText(const std::vector<std::pair<std::string, std::uint32_t>>& words) {
  for (const auto& [text, word] : words) add(text, word);
  link();
}

std::uint32_t FreeText::child(std::uint32_t node, std::uint8_t byte) const {
  for (const auto& [label, to] : nodes_[node].children) {
    if (label == byte) return to;
  }
  return kNone;
}

void FreeText::add(std::string_view text, std::uint32_t word) {
  CHECK(!text.empty());
  std::uint32_t node = 0;
  for (const char c : text) {
    std::uint32_t to = child(node, static_cast<std::uint8_t>(c));
    if (to == kNone) {
      to = static_cast<std::uint32_t>(nodes_.size());
      nodes_[node].children.emplace_back(static_cast<std::uint8_t>(c), to);
      const bool has_special = nodes_[node].has_special || c == kSpecialToken;
      nodes_.emplace_back().has_special = has_special;
    }
    node = to;
  }
  if (nodes_[node].word == kNone) nodes_[node].word = word;
}

void FreeText::link() {
  std::deque<std::uint32_t> todo;
  for (const auto& [label, to] : nodes_[0].children) todo.push_back(to);
  while (!todo.empty()) {
    const std::uint32_t node = todo.front();
    todo.pop_front();
    for (const auto& [label, to] : nodes_[node].children) {
      std::uint32_t shorter = nodes_[node].shorter;
      while (shorter != 0 && child(shorter, label) == kNone) shorter = nodes_[shorter].shorter;
      const std::uint32_t found = child(shorter, label);
      nodes_[to].shorter = found == kNone ? 0 : found;
      if (nodes_[to].word == kNone) nodes_[to].word = nodes_[nodes_[to].shorter].word;
      todo.push_back(to);
    }
  }
}

// A special token is one whole: where it does not lead to a word there is no other way on.
FreeText::Step FreeText::step(std::uint32_t state, std::uint8_t byte) const {
  for (;;) {
    if (const std::uint32_t to = child(state, byte); to != kNone) return {true, to, nodes_[to].word};
    if (nodes_[state].has_special) return {};
    if (state == 0) return {static_cast<char>(byte) != kSpecialToken, 0, kNone};
    state = nodes_[state].shorter;
  }
}

}  // namespace caudal::grammar
