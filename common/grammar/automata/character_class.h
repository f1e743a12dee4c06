// Sets of characters, as sorted ranges of code points, and the UTF-8 of such ranges. Pure, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace caudal::grammar {

inline constexpr std::uint32_t kMaxCodePoint = 0x10FFFF;

struct CodePointRange {
  std::uint32_t first;
  std::uint32_t last;
};

class CharacterClass {
 public:
  CharacterClass() = default;
  CharacterClass(std::uint32_t first, std::uint32_t last) { add(first, last); }

  void add(std::uint32_t first, std::uint32_t last) { ranges_.push_back({first, last}); }
  void add(const CharacterClass& other);
  // Sorted, disjoint, not adjacent, without surrogates.
  CharacterClass normalized() const;
  CharacterClass complement() const;
  // With the other case of ASCII letters.
  CharacterClass both_cases() const;
  const std::vector<CodePointRange>& ranges() const { return ranges_; }

  static CharacterClass digits();      // \d
  static CharacterClass words();       // \w
  static CharacterClass spaces();      // \s
  static CharacterClass no_newline();  // .
  static CharacterClass any();
  // \p{name}: a general category ("L", "Lu", "Letter") or "ASCII", "Any". Empty: unknown.
  static CharacterClass property(std::string_view name);

 private:
  std::vector<CodePointRange> ranges_;
};

struct ByteRange {
  std::uint8_t first;
  std::uint8_t last;
};

// One to four bytes, each from its range.
struct Utf8Sequence {
  std::array<ByteRange, 4> bytes;
  int size = 0;
};

// Together exactly the UTF-8 of the characters of a normalized class.
std::vector<Utf8Sequence> utf8_sequences(const CharacterClass& normalized);

}  // namespace caudal::grammar
