// Finds stop strings in text that arrives in pieces, holding back what may become one. One automaton (Aho and Corasick,
// CACM 18(6), 1975) for all of them, so the work is linear whatever their number, and how the text was cut never
// matters.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace caudal {

// The automaton: one for all choices of a request. Immutable; any thread.
class StopStrings {
 public:
  using State = std::int32_t;  // the longest beginning of a stop string that the text ends with; 0: none

  explicit StopStrings(std::vector<std::string> strings);  // not empty, each

  bool empty() const { return strings_.empty(); }
  State next(State state, char byte) const;
  std::size_t length(State state) const { return nodes_[state].depth; }
  // The longest stop string that the text ends with, or nullptr.
  const std::string* match(State state) const {
    const std::int32_t index = nodes_[state].match;
    return index < 0 ? nullptr : &strings_[index];
  }

 private:
  // Of a trie of the strings; children are a list of siblings.
  struct Node {
    std::int32_t first_child = -1;
    std::int32_t next_sibling = -1;
    State fail = 0;  // the longest proper suffix that is a node, too
    std::int32_t depth = 0;
    std::int32_t match = -1;  // index into strings_
    char byte = 0;
  };

  State child(State state, char byte) const;
  State add_child(State state, char byte);
  void add_fails();

  std::vector<std::string> strings_;
  std::vector<Node> nodes_{1};
  std::array<State, 256> root_{};  // children of the root; 0: none
};

class StopMatcher {
 public:
  // With `include_stop` the string that was found is part of the text.
  StopMatcher(std::shared_ptr<const StopStrings> strings, bool include_stop)
      : strings_(std::move(strings)), include_stop_(include_stop) {}

  // Appends to `out` what is now certain to be text. Once a stop string is complete (the one that ends first, of
  // those the longest) nothing more comes out.
  void push(std::string_view text, std::string& out);
  // The end of the text: appends what was held back.
  void finish(std::string& out);

  // The stop string that was found, or nullptr.
  const std::string* matched() const { return matched_; }

 private:
  std::shared_ptr<const StopStrings> strings_;  // shared by the choices of a request
  bool include_stop_;
  StopStrings::State state_ = 0;
  const std::string* matched_ = nullptr;  // points into strings_
  std::string held_;                      // the longest suffix of the text that starts a stop string
};

}  // namespace caudal
