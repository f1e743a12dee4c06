// See unicode.h. UTF-8 follows table 3-7 of the Unicode standard: no overlong forms, no surrogates.
#include "common/text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace caudal {
namespace {

// What the bytes at the front of a buffer are.
struct Utf8Prefix {
  std::size_t num_bytes;  // of the character, of the ill-formed subpart, or of what there is of a character
  enum { kCharacter, kIllFormed, kIncomplete } kind;
};

Utf8Prefix classify_prefix(std::string_view bytes) {
  const auto lead = static_cast<std::uint8_t>(bytes[0]);
  if (lead < 0x80) return {1, Utf8Prefix::kCharacter};
  std::size_t length = 0;
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if ((lead & 0xF0) == 0xE0) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {1, Utf8Prefix::kIllFormed};
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {i, Utf8Prefix::kIncomplete};
    const auto byte = static_cast<std::uint8_t>(bytes[i]);
    if (byte < low || byte > high) return {i, Utf8Prefix::kIllFormed};
    low = 0x80;
    high = 0xBF;
  }
  return {length, Utf8Prefix::kCharacter};
}

// The length of the longest prefix that is pure ASCII, in steps of 8 bytes.
std::size_t ascii_prefix(std::string_view text) {
  std::size_t position = 0;
  for (; position + 8 <= text.size(); position += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + position, 8);
    if ((word & 0x8080808080808080ULL) != 0) break;
  }
  return position;
}

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Bytes that are printable on their own in Latin-1; the others take code points from 256 on.
bool is_printable_latin1(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

struct ByteAlphabet {
  std::array<std::array<char, 2>, 256> text{};
  std::array<std::uint8_t, 256> text_size{};
  std::array<std::int16_t, 0x144> byte_of{};

  ByteAlphabet() {
    byte_of.fill(-1);
    char32_t next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const char32_t character = is_printable_latin1(byte) ? static_cast<char32_t>(byte) : next++;
      std::string utf8;
      append_utf8(utf8, character);
      std::copy(utf8.begin(), utf8.end(), text[byte].begin());
      text_size[byte] = static_cast<std::uint8_t>(utf8.size());
      byte_of[character] = static_cast<std::int16_t>(byte);
    }
  }
};

const ByteAlphabet& byte_alphabet() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

constexpr NewCharacters kNewCharacters[] = {
#include "common/text/unicode_new_characters.inc"
};

bool is_word_category(char32_t code_point) {
  if (const NewCharacters* entry = find_new_character(code_point)) {
    const std::string_view category = entry->category;
    return category[0] == 'L' || category[0] == 'M' || category == "Nd" || category == "Nl" || category == "Pc";
  }
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return false;
  }
}

}  // namespace

CodePoint decode_utf8(std::string_view valid_text, std::size_t position) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<std::uint8_t>(valid_text[position + i]));
  };
  const char32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {((lead & 0x1F) << 6) | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {((lead & 0x0F) << 12) | ((byte(1) & 0x3F) << 6) | (byte(2) & 0x3F), 3};
  return {((lead & 0x07) << 18) | ((byte(1) & 0x3F) << 12) | ((byte(2) & 0x3F) << 6) | (byte(3) & 0x3F), 4};
}

void append_utf8(std::string& text, char32_t code_point) {
  utf8proc_uint8_t buffer[4];
  const utf8proc_ssize_t size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), buffer);
  text.append(reinterpret_cast<const char*>(buffer), size);
}

bool is_valid_utf8(std::string_view text) {
  while (true) {
    text.remove_prefix(ascii_prefix(text));
    if (text.empty()) return true;
    const Utf8Prefix prefix = classify_prefix(text);
    if (prefix.kind != Utf8Prefix::kCharacter) return false;
    text.remove_prefix(prefix.num_bytes);
  }
}

void Utf8Repair::push(std::string_view bytes, std::string& output) {
  std::string joined;
  if (!pending_.empty()) {
    joined = pending_ + std::string(bytes);
    bytes = joined;
    pending_.clear();
  }
  while (!bytes.empty()) {
    const Utf8Prefix prefix = classify_prefix(bytes);
    if (prefix.kind == Utf8Prefix::kIncomplete) {
      pending_ = bytes;
      return;
    }
    output += prefix.kind == Utf8Prefix::kCharacter ? bytes.substr(0, prefix.num_bytes) : kReplacement;
    bytes.remove_prefix(prefix.num_bytes);
  }
}

void Utf8Repair::finish(std::string& output) {
  if (!pending_.empty()) output += kReplacement;
  pending_.clear();
}

std::string_view byte_to_alphabet(std::uint8_t byte) {
  const ByteAlphabet& alphabet = byte_alphabet();
  return {alphabet.text[byte].data(), alphabet.text_size[byte]};
}

int alphabet_to_byte(char32_t character) {
  const ByteAlphabet& alphabet = byte_alphabet();
  return character < alphabet.byte_of.size() ? alphabet.byte_of[character] : -1;
}

bool is_space(char32_t code_point) {
  return (code_point >= 0x09 && code_point <= 0x0D) || code_point == 0x20 || code_point == 0x85 || code_point == 0xA0 ||
         code_point == 0x1680 || (code_point >= 0x2000 && code_point <= 0x200A) || code_point == 0x2028 ||
         code_point == 0x2029 || code_point == 0x202F || code_point == 0x205F || code_point == 0x3000;
}

bool is_word_character(char32_t code_point) {
  const bool joiner = code_point == 0x200C || code_point == 0x200D;
  const bool circled_letter =  // alphabetic symbols: the only ones of category So
      (code_point >= 0x24B6 && code_point <= 0x24E9) || (code_point >= 0x1F130 && code_point <= 0x1F149) ||
      (code_point >= 0x1F150 && code_point <= 0x1F169) || (code_point >= 0x1F170 && code_point <= 0x1F189);
  return joiner || circled_letter || is_word_category(code_point);
}

std::span<const NewCharacters> new_characters() { return kNewCharacters; }

const NewCharacters* find_new_character(char32_t code_point) {
  const auto after = std::upper_bound(std::begin(kNewCharacters), std::end(kNewCharacters), code_point,
                                      [](char32_t value, const NewCharacters& entry) { return value < entry.first; });
  if (after == std::begin(kNewCharacters)) return nullptr;
  const NewCharacters* entry = after - 1;
  return code_point <= entry->last ? entry : nullptr;
}

}  // namespace caudal
