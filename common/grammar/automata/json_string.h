// The inside of a JSON string, byte by byte: UTF-8, escapes, and the characters that they stand for. Pure, any thread.
#pragma once

#include <array>
#include <cstdint>

#include "common/grammar/automata/character_class.h"

namespace caudal::grammar {

// Where in a character a string is.
enum class StringPlace : std::uint8_t {
  kPlain,  // between characters
  kTail1,
  kTail2,
  kTail3,  // so many bytes of UTF-8 are missing
  kAfterE0,
  kAfterED,
  kAfterF0,
  kAfterF4,  // lead bytes after which not every byte may come
  kBackslash,
  kHex1,
  kHex2,
  kHex3,
  kHex4,  // the next digit of \uXXXX
  kLowBackslash,
  kLowU,  // of the second half of a surrogate pair
  kLow1,
  kLow2,
  kLow3,
  kLow4,
};

struct StringStep {
  enum class Kind : std::uint8_t { kRefused, kInside, kClosed };
  Kind kind = Kind::kRefused;
  // Bytes of the string's value that became known; all of one character after an escape.
  std::array<std::uint8_t, 4> bytes{};
  std::uint8_t num_bytes = 0;
};

// `place` and `escape` are what is known so far; both begin as 0. Unpaired surrogates are refused, and so are ASCII
// letters and digits written as \uXXXX: no program writes them so, but a model whose next letter is forbidden would.
StringStep step_string(std::uint8_t byte, StringPlace& place, std::uint32_t& escape);

// The characters that an escape which has begun can still stand for. Some of the ranges may be empty (first > last).
std::array<CodePointRange, 5> escapable(StringPlace place, std::uint32_t escape);

constexpr bool begins_character(std::uint8_t byte) { return byte < 0x80 || byte >= 0xC0; }

}  // namespace caudal::grammar
