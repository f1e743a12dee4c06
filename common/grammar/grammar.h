// Grammars that a model's output can be held to. One is compiled from text, is immutable and is shared by all threads;
// a Matcher (matcher.h) follows one output with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "common/generation_params.h"
#include "common/grammar/automata/limits.h"
#include "common/result.h"

namespace caudal::grammar {

class Machine;
using caudal::GrammarKind;

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
