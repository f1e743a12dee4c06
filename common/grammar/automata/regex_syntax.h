// A regular expression's syntax tree.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/grammar/automata/character_class.h"
#include "common/result.h"

namespace caudal::grammar {

struct RegexNode {
  enum class Kind : std::uint8_t {
    kClass,         // one character
    kSequence,      // of the children
    kAlternatives,  // one of the children
    kRepeat,        // of the child, from min to max times
    kStart,
    kEnd,
    kAhead,
    kNotAhead,
    kRule,  // of an EBNF: the one with the index `min`
  };
  Kind kind = Kind::kSequence;
  std::uint32_t min = 0;
  std::uint32_t max = 0;  // kNoBound: none
  bool is_dot = false;    // a class that was written as '.'
  CharacterClass characters;
  std::vector<RegexNode> children;
};

// See compile_regex().
Result<RegexNode> parse_regex(std::string_view pattern);

}  // namespace caudal::grammar
