// UTF-8 text as Python's str sees it: counted and cut by code point, Unicode white space and case.
// Invalid bytes count as one code point each; nothing here reads past the end.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace caudal::jinja {

char32_t next_code_point(std::string_view text, std::size_t& at);  // at < size; moves `at` past it
void append_code_point(std::string& out, char32_t code_point);
void append_hex(std::string& out, char32_t value, int num_digits);  // in lower case, with leading zeros
bool valid_utf8(std::string_view text);

std::size_t code_point_count(std::string_view text);
// Byte offset of the code point `index` (the size when there are fewer).
std::size_t byte_offset(std::string_view text, std::size_t index);

// Linear time, unlike std::string::find, whose worst case is the product of both lengths.
std::size_t find_text(std::string_view text, std::string_view part, std::size_t from = 0);
std::size_t occurrences(std::string_view text, std::string_view part);  // not overlapping; `part` is not empty

bool is_space(char32_t code_point);
std::string_view strip_left(std::string_view text);
std::string_view strip_right(std::string_view text);

bool is_letter(char32_t code_point);
bool is_digit(char32_t code_point);
bool is_upper(char32_t code_point);
bool is_lower(char32_t code_point);
bool is_printable(char32_t code_point);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string capitalize(std::string_view text);  // first letter upper, the rest lower
std::string title_case(std::string_view text);  // str.title(): words are runs of letters

}  // namespace caudal::jinja
