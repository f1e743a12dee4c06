// From the text of a JSON Schema to a SchemaSet. Pure, any thread.
#pragma once

#include <string_view>

#include "common/grammar/automata/limits.h"
#include "common/grammar/schema/schema.h"
#include "common/result.h"

namespace caudal::grammar {

// See Grammar::compile().
Result<SchemaSet> compile_schema(std::string_view text, const GrammarLimits& limits);

}  // namespace caudal::grammar
