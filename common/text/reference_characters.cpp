#include "common/text/reference_characters.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <span>

#include "common/text/unicode.h"

namespace caudal {
namespace {

struct CharacterRange {
  char32_t first;
  char32_t last;
};

struct NumberedRange {
  char32_t first;
  char32_t last;
  std::int32_t number;
};

#include "common/text/reference_characters.inc"

constexpr CharacterRange kChinese[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},  {0x20000, 0x2A6DF},
                                       {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};

// The range that holds the code point, or nullptr. Ranges are sorted and disjoint.
template <typename Range, std::size_t size>
const Range* find_range(const Range (&ranges)[size], char32_t code_point) {
  const auto after = std::ranges::upper_bound(ranges, code_point, {}, &Range::first);
  if (after == std::begin(ranges) || code_point > std::prev(after)->last) return nullptr;
  return std::prev(after);
}

}  // namespace

bool is_punctuation(char32_t code_point) { return find_range(kPunctuation, code_point) != nullptr; }
bool is_combining_mark(char32_t code_point) { return find_range(kCombiningMarks, code_point) != nullptr; }
bool is_nonspacing_mark(char32_t code_point) { return find_range(kNonspacingMarks, code_point) != nullptr; }
bool is_unclean(char32_t code_point) { return find_range(kUnclean, code_point) != nullptr; }
bool is_chinese(char32_t code_point) { return find_range(kChinese, code_point) != nullptr; }

int script_number(char32_t code_point) {
  const NumberedRange* range = find_range(kScriptRanges, code_point);
  return range == nullptr ? 0 : range->number;
}

void append_lower_case(std::string& text, char32_t code_point) {
  constexpr char32_t kCapitalIWithDot = 0x130;
  if (code_point == kCapitalIWithDot) {
    text += "i\u0307";
  } else if (const NumberedRange* newer = find_range(kLowerCase, code_point)) {
    append_utf8(text, code_point + static_cast<char32_t>(newer->number));
  } else {
    append_utf8(text, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code_point))));
  }
}

}  // namespace caudal
