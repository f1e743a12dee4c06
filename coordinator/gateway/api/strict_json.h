// The one door through which JSON from outside comes in. Stricter than RFC 8259 where clients could otherwise
// be understood in two ways or make the server work for nothing. Pure, any thread.
#pragma once

#include <boost/json/value.hpp>

#include <string>
#include <string_view>

#include "common/result.h"

namespace caudal {

inline constexpr std::size_t kMaxJsonDepth = 64;
inline constexpr std::size_t kMaxJsonMembers = 4096;  // of one object

// Errors: not one well-formed UTF-8 JSON text; nested deeper than 64; an object with a key twice or more than
// 4,096 members; a NUL in a string; a number outside the range of a double. Their field is the path of the value that
// cannot be read, as in `messages[0].content`, where it is in one; nothing else of the input is quoted, and of the path
// only keys of up to 64 letters, digits and underscores. `what` is what messages call the text.
Result<boost::json::value> parse_strict_json(std::string_view text, std::string_view what = "body");

// The member called `name`, or nothing when it is absent or null: clients send null for "not set".
const boost::json::value* present(const boost::json::object& object, std::string_view name);

// Appends `text`, which is valid UTF-8, as a JSON string with its quotes.
void append_json_string(std::string& out, std::string_view text);

}  // namespace caudal
