#include "coordinator/gateway/generation/stop_matcher.h"

#include <algorithm>

namespace caudal {

StopMatcher::StopMatcher(std::vector<std::string> stop_strings, bool include_stop) : include_stop_(include_stop) {
  for (std::string& stop : stop_strings) {
    std::vector<std::size_t> border(stop.size(), 0);
    for (std::size_t i = 1, length = 0; i < stop.size(); ++i) {
      while (length > 0 && stop[i] != stop[length]) length = border[length - 1];
      if (stop[i] == stop[length]) ++length;
      border[i] = length;
    }
    automata_.push_back({std::move(stop), std::move(border), 0});
  }
}

void StopMatcher::Automaton::advance(char byte) {
  while (state > 0 && stop[state] != byte) state = border[state - 1];
  if (stop[state] == byte) ++state;
}

void StopMatcher::push(std::string_view text, std::string& out) {
  if (automata_.empty()) {
    out += text;
    return;
  }
  for (const char byte : text) {
    if (matched_ != nullptr) return;
    held_ += byte;
    std::size_t longest = 0;
    for (Automaton& automaton : automata_) {
      automaton.advance(byte);
      longest = std::max(longest, automaton.state);
      const bool complete = automaton.state == automaton.stop.size();
      if (complete && (matched_ == nullptr || matched_->size() < automaton.stop.size())) matched_ = &automaton.stop;
    }
    // A stop string that has just ended may sit inside a longer, unfinished one: all before it is text.
    const std::size_t keep = matched_ != nullptr ? matched_->size() : longest;
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
