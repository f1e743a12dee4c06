// Finds stop strings in text that arrives in pieces, holding back what may become one. Each byte advances one
// Knuth-Morris-Pratt automaton per stop string, so the work is linear and how the text was cut never matters.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace caudal {

class StopMatcher {
 public:
  // Stop strings are not empty. With `include_stop` the string that was found is part of the text.
  StopMatcher(std::vector<std::string> stop_strings, bool include_stop);

  // Appends to `out` what is now certain to be text. Once a stop string is complete (the one that ends first, of
  // those the longest) nothing more comes out.
  void push(std::string_view text, std::string& out);
  // The end of the text: appends what was held back.
  void finish(std::string& out);

  // The stop string that was found, or nullptr.
  const std::string* matched() const { return matched_; }

 private:
  struct Automaton {
    std::string stop;
    std::vector<std::size_t> border;  // [i]: longest proper border of stop[0, i]
    std::size_t state = 0;            // bytes of `stop` that the text ends with
    void advance(char byte);
  };

  std::vector<Automaton> automata_;
  const bool include_stop_;
  const std::string* matched_ = nullptr;  // points into automata_
  std::string held_;                      // the longest suffix of the text that starts a stop string
};

}  // namespace caudal
