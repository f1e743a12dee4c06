// Classes of characters that the reference tokenizers ask about, as they have them: each with the Unicode version that
// it was frozen at. Pure functions over static tables; any thread.
#pragma once

#include <string>

namespace caudal {

bool is_punctuation(char32_t code_point);      // ASCII's, and categories P* of Unicode 8
bool is_combining_mark(char32_t code_point);   // categories M* of Unicode 9
bool is_nonspacing_mark(char32_t code_point);  // category Mn of Unicode 8
// What BERT's normalizer takes out of every text: controls, formats, private use, U+FFFD; not tab, line feed and
// return.
bool is_unclean(char32_t code_point);
// The characters that BERT cuts into words of one.
bool is_chinese(char32_t code_point);
// A number for the script of a character; 0 for characters that go with any. Kana count as Han.
int script_number(char32_t code_point);
// Appends the lower case of a character, whatever stands around it.
void append_lower_case(std::string& text, char32_t code_point);

}  // namespace caudal
