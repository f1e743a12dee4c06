// Text that goes on until one of some words stands in it (Aho and Corasick, 1975). A special token is written as the
// byte kSpecialToken and its text; free text has none but those that its words are made of. Immutable, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace caudal::grammar {

// In front of a special token's text, in a vocabulary and in the texts of a grammar. No UTF-8 text has it.
inline constexpr char kSpecialToken = '\xFF';

class FreeText {
 public:
  static constexpr std::uint32_t kNone = ~0U;

  // `words`, none empty, and for each a number of the caller's.
  explicit FreeText(const std::vector<std::pair<std::string, std::uint32_t>>& words);

  struct Step {
    bool is_allowed = false;
    std::uint32_t state = 0;     // 0 at the start of a text
    std::uint32_t word = kNone;  // the number of a word that ends here
  };
  Step step(std::uint32_t state, std::uint8_t byte) const;
  std::size_t num_states() const { return nodes_.size(); }

 private:
  struct Node {
    std::vector<std::pair<std::uint8_t, std::uint32_t>> children;
    std::uint32_t shorter = 0;   // the longest end of this node's text that begins a word, too
    std::uint32_t word = kNone;  // that this node's text ends with
    bool has_special = false;    // its text holds a special token, or a part of one
  };
  std::uint32_t child(std::uint32_t node, std::uint8_t byte) const;
  void add(std::string_view text, std::uint32_t word);
  void link();

  std::vector<Node> nodes_{1};
};

}  // namespace caudal::grammar
