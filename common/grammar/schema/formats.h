// The values of `format`, as automata. Compiled once; pure, any thread.
#pragma once

#include <memory>
#include <string_view>

#include "common/grammar/automata/regex_program.h"
#include "common/result.h"

namespace caudal::grammar {

// Null for names that the specification does not define: those are annotations. Errors: a format that it does define
// and that no automaton decides.
Result<std::shared_ptr<const RegexProgram>> find_format(std::string_view name);

}  // namespace caudal::grammar
