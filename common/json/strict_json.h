// The one parser of JSON, for requests and for files. Stricter than RFC 8259 where a text could otherwise be
// understood in two ways, or could make the server work for nothing. Pure, any thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstddef>
#include <string>
#include <string_view>

#include "common/result.h"

namespace caudal {

// What a text may hold.
struct JsonRules {
  std::size_t max_depth = 64;
  std::size_t max_members = 4096;  // of one object
  bool allows_nul = false;         // the character U+0000 in strings
};
inline constexpr JsonRules kRequestJson{};
inline constexpr JsonRules kFileJson{.max_depth = 32, .max_members = std::size_t{1} << 24, .allows_nul = true};

// Errors: not one well-formed UTF-8 JSON text; an object with a key twice; a number outside the range of a double;
// what the rules forbid. Their field is the path of the value that cannot be read, as in `messages[0].content`, where
// it is in one; nothing else of the input is quoted, and of the path only keys of up to 64 letters, digits and
// underscores. The message says "not valid JSON near byte N: why".
Result<boost::json::value> parse_strict_json(std::string_view text, const JsonRules& rules = kRequestJson);

// Appends `text`, which is valid UTF-8, as a JSON string with its quotes.
void append_json_string(std::string& out, std::string_view text);

}  // namespace caudal
