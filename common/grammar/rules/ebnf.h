// Grammars in EBNF, in the two forms that clients send. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/grammar/automata/limits.h"
#include "common/grammar/automata/regex_syntax.h"
#include "common/result.h"

namespace caudal::grammar {

struct Rule {
  std::string name;
  RegexNode body;     // kRule names others by index
  std::size_t place;  // of its name, in bytes of the text
};

struct Rules {
  std::vector<Rule> rules;
  std::uint32_t root = 0;
};

// llama.cpp's GBNF: rules "name ::= ..." from "root" on.
Result<Rules> parse_gbnf(std::string_view text);
// Lark: rules from "start" on, terminals in capitals, %ignore. Terminals match as they would in the grammar itself,
// character by character; there is no lexer that takes the longest one.
Result<Rules> parse_lark(std::string_view text);

// Errors, at the place: a rule that begins with itself, that never ends, or that the root does not reach.
Result<void> check_rules(const Rules& rules, std::string_view text);

// An error at a byte of a text: "line L, column C: message".
Error error_at(std::string_view text, std::size_t place, std::string_view message);

}  // namespace caudal::grammar
