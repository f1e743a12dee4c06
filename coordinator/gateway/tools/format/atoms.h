// Text of a template in pieces that are the same or not: a mark (<...>, [WORD]), a word, a run of spaces, one other
// character. Two texts are compared by these, so that what they share never ends inside a mark. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace caudal {

std::vector<std::string_view> atoms_of(std::string_view text);  // together they are the text
bool is_mark(std::string_view atom);

// What two texts share at their beginning or end, in whole atoms; as long as it is the same text.
std::string_view shared_prefix(std::string_view text, std::string_view other);
std::string_view shared_suffix(std::string_view text, std::string_view other);

inline constexpr std::string_view kSpaces = " \t\r\n";
inline bool is_space(char c) { return kSpaces.find(c) != std::string_view::npos; }
std::string_view trimmed(std::string_view text);
std::string_view trimmed_left(std::string_view text);
std::string_view trimmed_right(std::string_view text);

inline bool visible(std::string_view mark) { return !trimmed(mark).empty(); }

}  // namespace caudal
