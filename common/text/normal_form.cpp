// See normal_form.h. utf8proc_map would do all of this in one call, but it sorts combining marks by
// insertion (quadratic: a megabyte of marks would take hours) and knows Unicode 15. So we decompose per
// character, sort runs of marks ourselves, and let utf8proc compose the sorted text.
#include "common/text/normal_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "common/check.h"
#include "common/text/unicode.h"

namespace caudal {
namespace {

using CodePoints = std::vector<utf8proc_int32_t>;

// Characters after Unicode 9 that utf8proc reorders, decomposes or composes. Sorted, disjoint.
// Printed by tests/reference/tokenizers/make_unicode_tables.py.
struct Range {
  char32_t first;
  char32_t last;
};
constexpr Range kInert[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},     {0xC3C, 0xC3C},
    {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},
    {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},   {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x10785},
    {0x10787, 0x107B0}, {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E},
    {0x11839, 0x1183A}, {0x11930, 0x11930}, {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943},
    {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42},
    {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E030, 0x1E06D},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
    {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9},
};

bool is_inert(char32_t code_point) {
  if (code_point < kInert[0].first) return false;
  const auto after = std::upper_bound(std::begin(kInert), std::end(kInert), code_point,
                                      [](char32_t value, const Range& range) { return value < range.first; });
  return code_point <= (after - 1)->last || find_new_character(code_point) != nullptr;
}

bool composes(NormalForm form) { return form == NormalForm::kNfc || form == NormalForm::kNfkc; }
bool is_compatible(NormalForm form) { return form == NormalForm::kNfkc || form == NormalForm::kNfkd; }

// Below this code point every character is its own normal form and none is a combining mark.
char32_t first_affected(NormalForm form) {
  if (is_compatible(form)) return 0xA0;
  return composes(form) ? 0x300 : 0xC0;
}

bool is_unaffected(std::string_view text, NormalForm form) {
  const char32_t limit = first_affected(form);
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    if (c.value >= limit) return false;
    i += c.num_bytes;
  }
  return true;
}

int combining_class(utf8proc_int32_t code_point) { return utf8proc_get_property(code_point)->combining_class; }

void append_decomposed(CodePoints& output, char32_t code_point, NormalForm form) {
  constexpr int kLongestDecomposition = 18;  // U+FDFA
  utf8proc_int32_t buffer[kLongestDecomposition];
  int boundary_class = 0;
  const int options =
      UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (is_compatible(form) ? static_cast<int>(UTF8PROC_COMPAT) : 0);
  const utf8proc_ssize_t count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code_point), buffer, kLongestDecomposition,
                              static_cast<utf8proc_option_t>(options), &boundary_class);
  CHECK(count > 0 && count <= kLongestDecomposition);
  output.insert(output.end(), buffer, buffer + count);
}

// Canonical ordering: each run of marks sorted by combining class, stably.
void sort_marks(CodePoints& text) {
  for (auto run = text.begin(); run != text.end();) {
    if (combining_class(*run) == 0) {
      ++run;
      continue;
    }
    const auto end = std::find_if(run, text.end(), [](auto c) { return combining_class(c) == 0; });
    std::stable_sort(run, end, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    run = end;
  }
}

// Moves a decomposed stretch without inert characters into `output`.
void flush(CodePoints& stretch, NormalForm form, std::string& output) {
  sort_marks(stretch);
  if (composes(form) && !stretch.empty()) {
    const utf8proc_ssize_t size =
        utf8proc_normalize_utf32(stretch.data(), static_cast<utf8proc_ssize_t>(stretch.size()),
                                 static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
    CHECK(size >= 0);
    stretch.resize(size);
  }
  for (const utf8proc_int32_t c : stretch) append_utf8(output, static_cast<char32_t>(c));
  stretch.clear();
}

}  // namespace

std::string normalize_unicode(std::string_view text, NormalForm form) {
  if (is_unaffected(text, form)) return std::string(text);
  std::string output;
  output.reserve(text.size());
  CodePoints stretch;
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    i += c.num_bytes;
    if (is_inert(c.value)) {
      flush(stretch, form, output);
      append_utf8(output, c.value);
    } else {
      append_decomposed(stretch, c.value, form);
    }
  }
  flush(stretch, form, output);
  return output;
}

}  // namespace caudal
