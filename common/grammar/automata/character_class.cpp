// See character_class.h.
#include "common/grammar/automata/character_class.h"

#include <utf8proc.h>

#include <algorithm>
#include <map>
#include <string>

namespace caudal::grammar {
namespace {

constexpr std::uint32_t kFirstSurrogate = 0xD800;
constexpr std::uint32_t kLastSurrogate = 0xDFFF;
constexpr std::array<std::uint32_t, 4> kLastOfSize = {0x7F, 0x7FF, 0xFFFF, kMaxCodePoint};

int encode(std::uint32_t c, std::uint8_t* bytes) {
  if (c < 0x80) {
    bytes[0] = static_cast<std::uint8_t>(c);
    return 1;
  }
  const int size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (int i = size - 1; i > 0; --i, c >>= 6) bytes[i] = static_cast<std::uint8_t>(0x80 | (c & 0x3F));
  bytes[0] = static_cast<std::uint8_t>((0xF00 >> size & 0xFF) | c);
  return size;
}

// Both ends have UTF-8 of the same size. Splits until all bytes but one are the same, or whole ranges of continuations.
void add_sequences(std::uint32_t first, std::uint32_t last, int size, std::vector<Utf8Sequence>& out) {
  for (int i = 1; i < size; ++i) {
    const std::uint32_t low = (1U << (6 * i)) - 1;
    if ((first & ~low) == (last & ~low)) continue;
    if ((first & low) != 0) {
      add_sequences(first, first | low, size, out);
      return add_sequences((first | low) + 1, last, size, out);
    }
    if ((last & low) != low) {
      add_sequences(first, (last & ~low) - 1, size, out);
      return add_sequences(last & ~low, last, size, out);
    }
  }
  std::uint8_t a[4];
  std::uint8_t b[4];
  encode(first, a);
  encode(last, b);
  Utf8Sequence sequence;
  sequence.size = size;
  for (int i = 0; i < size; ++i) sequence.bytes[static_cast<std::size_t>(i)] = {a[i], b[i]};
  out.push_back(sequence);
}

const std::map<std::string, std::string, std::less<>>& long_names() {
  static const std::map<std::string, std::string, std::less<>> names{{"Letter", "L"},
                                                                     {"Uppercase_Letter", "Lu"},
                                                                     {"Lowercase_Letter", "Ll"},
                                                                     {"Mark", "M"},
                                                                     {"Number", "N"},
                                                                     {"Decimal_Number", "Nd"},
                                                                     {"digit", "Nd"},
                                                                     {"Punctuation", "P"},
                                                                     {"Symbol", "S"},
                                                                     {"Separator", "Z"},
                                                                     {"Space_Separator", "Zs"},
                                                                     {"Other", "C"},
                                                                     {"Connector_Punctuation", "Pc"},
                                                                     {"Dash_Punctuation", "Pd"},
                                                                     {"Control", "Cc"},
                                                                     {"Letter_Number", "Nl"}};
  return names;
}

}  // namespace

void CharacterClass::add(const CharacterClass& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
}

CharacterClass CharacterClass::normalized() const {
  std::vector<CodePointRange> parts;
  for (const CodePointRange& range : ranges_) {  // around the surrogates
    if (range.first < kFirstSurrogate) parts.push_back({range.first, std::min(range.last, kFirstSurrogate - 1)});
    if (range.last > kLastSurrogate) parts.push_back({std::max(range.first, kLastSurrogate + 1), range.last});
  }
  std::erase_if(parts, [](const CodePointRange& range) { return range.first > range.last; });
  std::ranges::sort(parts, {}, &CodePointRange::first);
  CharacterClass result;
  for (const CodePointRange& range : parts) {
    if (!result.ranges_.empty() && range.first <= result.ranges_.back().last + 1) {
      result.ranges_.back().last = std::max(result.ranges_.back().last, range.last);
    } else {
      result.ranges_.push_back(range);
    }
  }
  return result;
}

CharacterClass CharacterClass::complement() const {
  CharacterClass result;
  std::uint32_t next = 0;
  for (const CodePointRange& range : normalized().ranges_) {
    if (range.first > next) result.add(next, range.first - 1);
    next = range.last + 1;
  }
  if (next <= kMaxCodePoint) result.add(next, kMaxCodePoint);
  return result.normalized();
}

CharacterClass CharacterClass::both_cases() const {
  CharacterClass result = *this;
  for (const CodePointRange& range : ranges_) {
    for (std::uint32_t c = range.first; c <= std::min<std::uint32_t>(range.last, 'z'); ++c) {
      if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) result.add(c ^ 0x20, c ^ 0x20);
    }
  }
  return result.normalized();
}

CharacterClass CharacterClass::digits() { return {'0', '9'}; }

CharacterClass CharacterClass::words() {
  CharacterClass result('0', '9');
  result.add('A', 'Z');
  result.add('_', '_');
  result.add('a', 'z');
  return result;
}

CharacterClass CharacterClass::spaces() {
  CharacterClass result('\t', '\r');
  for (const std::uint32_t c : {0x20U, 0xA0U, 0x1680U, 0x202FU, 0x205FU, 0x3000U, 0xFEFFU}) result.add(c, c);
  result.add(0x2000, 0x200A);
  result.add(0x2028, 0x2029);
  return result.normalized();
}

CharacterClass CharacterClass::no_newline() {
  CharacterClass newlines('\n', '\n');
  newlines.add('\r', '\r');
  newlines.add(0x2028, 0x2029);
  return newlines.complement();
}

CharacterClass CharacterClass::any() { return CharacterClass(0, kMaxCodePoint).normalized(); }

CharacterClass CharacterClass::property(std::string_view name) {
  if (const auto equals = name.find('='); equals != std::string_view::npos) {
    const std::string_view key = name.substr(0, equals);
    if (key != "gc" && key != "General_Category") return {};
    name.remove_prefix(equals + 1);
  }
  if (name == "Any") return any();
  if (name == "ASCII") return {0, 0x7F};
  if (const auto found = long_names().find(name); found != long_names().end()) name = found->second;
  CharacterClass result;
  for (std::uint32_t c = 0; c <= kMaxCodePoint; ++c) {
    const std::string_view category = utf8proc_category_string(static_cast<utf8proc_int32_t>(c));
    if (!name.empty() && (category == name || (name.size() == 1 && category.front() == name.front()))) {
      if (!result.ranges_.empty() && result.ranges_.back().last + 1 == c) {
        result.ranges_.back().last = c;
      } else {
        result.add(c, c);
      }
    }
  }
  return result.normalized();
}

std::vector<Utf8Sequence> utf8_sequences(const CharacterClass& normalized) {
  std::vector<Utf8Sequence> sequences;
  for (const CodePointRange& range : normalized.ranges()) {
    std::uint32_t first = range.first;
    for (int size = 1; size <= 4; ++size) {
      const std::uint32_t last = std::min(range.last, kLastOfSize[static_cast<std::size_t>(size) - 1]);
      if (first > last) continue;
      add_sequences(first, last, size, sequences);
      first = last + 1;
    }
  }
  return sequences;
}

}  // namespace caudal::grammar
