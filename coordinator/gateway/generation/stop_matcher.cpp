#include "coordinator/gateway/generation/stop_matcher.h"

#include <utility>

namespace caudal {

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  for (std::size_t i = 0; i < strings_.size(); ++i) {
    State state = 0;
    for (const char byte : strings_[i]) {
      const State known = child(state, byte);
      state = known > 0 ? known : add_child(state, byte);
    }
    nodes_[state].match = static_cast<std::int32_t>(i);
  }
  add_fails();
}

StopStrings::State StopStrings::child(State state, char byte) const {
  if (state == 0) return root_[static_cast<std::uint8_t>(byte)];
  State found = nodes_[state].first_child;
  while (found >= 0 && nodes_[found].byte != byte) found = nodes_[found].next_sibling;
  return found < 0 ? 0 : found;
}

StopStrings::State StopStrings::add_child(State state, char byte) {
  const auto added = static_cast<State>(nodes_.size());
  Node node;
  node.next_sibling = nodes_[state].first_child;
  node.depth = nodes_[state].depth + 1;
  node.byte = byte;
  nodes_.push_back(node);
  nodes_[state].first_child = added;
  if (state == 0) root_[static_cast<std::uint8_t>(byte)] = added;
  return added;
}

// Breadth first: the suffixes of a node are shorter than it.
void StopStrings::add_fails() {
  std::vector<State> order;
  for (State each = nodes_[0].first_child; each >= 0; each = nodes_[each].next_sibling) order.push_back(each);
  for (std::size_t i = 0; i < order.size(); ++i) {
    Node& node = nodes_[order[i]];
    if (node.match < 0) node.match = nodes_[node.fail].match;
    for (State each = node.first_child; each >= 0; each = nodes_[each].next_sibling) {
      nodes_[each].fail = next(node.fail, nodes_[each].byte);
      order.push_back(each);
    }
  }
}

StopStrings::State StopStrings::next(State state, char byte) const {
  State found = child(state, byte);
  while (found == 0 && state != 0) {
    state = nodes_[state].fail;
    found = child(state, byte);
  }
  return found;
}

void StopMatcher::push(std::string_view text, std::string& out) {
  if (strings_->empty()) {
    out += text;
    return;
  }
  for (const char byte : text) {
    if (matched_ != nullptr) return;
    held_ += byte;
    state_ = strings_->next(state_, byte);
    matched_ = strings_->match(state_);
    // A stop string that has just ended may sit inside a longer, unfinished one: all before it is text.
    const std::size_t keep = matched_ != nullptr ? matched_->size() : strings_->length(state_);
    out.append(held_, 0, held_.size() - keep);
    held_.erase(0, held_.size() - keep);
    if (matched_ != nullptr) {
      if (include_stop_) out += held_;
      held_.clear();
    }
  }
}

void StopMatcher::finish(std::string& out) {
  out += held_;
  held_.clear();
}

}  // namespace caudal
