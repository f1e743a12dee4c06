// Arguments as a model writes them -> JSON text. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/gateway/tools/format/output_format.h"

namespace caudal {

// Whether it is one valid JSON text, and one of an object.
bool is_json(std::string_view text);
bool is_json_object(std::string_view text);

// The members of a JSON object in their order: name, and value as it is written. None: it is no valid object.
std::optional<std::vector<std::pair<std::string, std::string_view>>> json_members(std::string_view object);

// The JSON text of a JSON string. None: it is something else.
std::optional<std::string> json_string(std::string_view text);

// The JSON of a value that is written without quotes, as JSON or as Python prints it: 7, True, {'a': None}. None: it is
// text.
std::optional<std::string> value_of_text(std::string_view text);

// Arguments written as literals of a language like Python -> a JSON object: `a="x", b=[1, None]`. Names of the language
// become JSON's (True, None); what is not quoted and no number becomes a string. None: it cannot be read.
std::optional<std::string> loose_arguments(std::string_view text, const LooseForm& form);

}  // namespace caudal
