// Places in a text that have to be found again after the text was rewritten: a noncharacter that the text does not have
// stands at each of them meanwhile. Pure functions.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace caudal {

// One of Unicode's 32 noncharacters of Arabic Presentation Forms-A that `occurs` denies, or "".
std::string find_mark(const std::function<bool(std::string_view)>& occurs);

// `text` with the mark in front of each of the offsets (ascending).
std::string put_marks(std::string_view text, std::span<const std::size_t> offsets, std::string_view mark);

// The reverse: the text without marks, and where they stood.
struct UnmarkedText {
  std::string text;
  std::vector<std::size_t> offsets;
};
UnmarkedText take_marks(std::string_view marked, std::string_view mark);

}  // namespace caudal
