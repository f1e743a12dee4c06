// Grammars that a model's output can be held to. One is compiled from text, is immutable and is shared by all threads;
// a Matcher (matcher.h) follows one output with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "common/grammar/automata/limits.h"
#include "common/result.h"

namespace caudal::grammar {

class Machine;

enum class GrammarKind : std::uint8_t {
  kJsonSchema,  // drafts 4 to 2020-12, by `$schema`; 2020-12 without it
  kRegex,       // ECMA 262's, without back references and look-behind; matches the whole output
  kGbnf,        // llama.cpp's form of EBNF
  kLark,        // Lark's form of EBNF, without imports and templates
  kChoices,     // a JSON list of strings
};

class Grammar {
 public:
  virtual ~Grammar() = default;

  // Errors: the field is the place, a JSON pointer into a schema or "line L, column C" of other texts; the message
  // names it as well. Whatever could not be kept to exactly is refused, never ignored.
  static Result<std::shared_ptr<const Grammar>> compile(GrammarKind kind, std::string_view text,
                                                        const GrammarLimits& limits = {});

  // What follows one output; refers to this grammar.
  virtual std::unique_ptr<Machine> machine() const = 0;
};

}  // namespace caudal::grammar
