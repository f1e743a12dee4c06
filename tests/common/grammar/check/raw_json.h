// The members and items of a JSON text as they are written, which a parsed value does not keep.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace caudal {

// `text` is a valid JSON object without white space rules; keys keep their quotes and escapes.
std::vector<std::pair<std::string_view, std::string_view>> raw_members(std::string_view text);
std::vector<std::string_view> raw_items(std::string_view text);
// Of the member with this plain key; empty where it is missing.
std::string_view raw_member(std::string_view object, std::string_view key);
// The same value, written without white space.
std::string without_space(std::string_view text);

}  // namespace caudal
