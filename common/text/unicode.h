// UTF-8, the byte-level alphabet of GPT-2, and the character classes that tokenizers ask about.
// Pure functions over static tables; safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace caudal {

struct CodePoint {
  char32_t value;
  std::size_t num_bytes;
};

// The code point that starts at `position` of text that is known to be valid UTF-8.
CodePoint decode_utf8(std::string_view valid_text, std::size_t position);
void append_utf8(std::string& text, char32_t code_point);

bool is_valid_utf8(std::string_view text);

// Streaming UTF-8 repair: each maximal ill-formed subpart becomes one U+FFFD (Unicode 15, section 3.9).
// Bytes that may still become a character are held back until the next call.
class Utf8Repair {
 public:
  void push(std::string_view bytes, std::string& output);
  void finish(std::string& output);

 private:
  std::string pending_;  // a proper prefix of one character, at most 3 bytes
};

// GPT-2's alphabet: each byte as one printable character, so that a vocabulary is plain text.
std::string_view byte_to_alphabet(std::uint8_t byte);
// The byte that `character` stands for, or -1.
int alphabet_to_byte(char32_t character);

// White_Space of Unicode, and the word characters of UTS 18 (letters, marks, digits, connectors, joiners).
bool is_space(char32_t code_point);
bool is_word_character(char32_t code_point);

// A range of characters that Unicode 15 or 16 assigned (or PCRE2 10.42 does not know yet), with its category.
struct NewCharacters {
  char32_t first;
  char32_t last;
  char category[3];
};
// Sorted by `first`, disjoint. The reference tokenizers know Unicode 16, Debian 12's PCRE2 knows 14.
std::span<const NewCharacters> new_characters();
// The entry of `new_characters()` that holds the code point, or nullptr.
const NewCharacters* find_new_character(char32_t code_point);

}  // namespace caudal
