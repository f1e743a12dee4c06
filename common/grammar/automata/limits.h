// Bounds on what a grammar may cost.
#pragma once

#include <cstddef>

namespace caudal::grammar {

// What compiling and matching may take. Compiling past one of them is an error; matching past one forbids the byte.
struct GrammarLimits {
  std::size_t max_text_bytes = 1 << 20;
  std::size_t max_nodes = 25'000;                 // schemas within one schema
  std::size_t max_pattern_instructions = 50'000;  // of one regular expression, or of all rules of an EBNF
  std::size_t max_states = 20'000;                // of one automaton that is built while matching
  std::size_t max_depth = 128;                    // of the text, and of the output's objects and arrays
};

}  // namespace caudal::grammar
