// See json_string.h. `escape` holds the hexadecimal digits so far, and in its upper half the first of two surrogates.
#include "common/grammar/automata/json_string.h"

#include <algorithm>

namespace caudal::grammar {
namespace {

using Kind = StringStep::Kind;

constexpr std::array<CodePointRange, 2> kNothingElse = {{{1, 0}, {1, 0}}};
// All but ASCII letters and digits.
constexpr std::array<CodePointRange, 4> kNeverLetters = {
    {{0, '0' - 1}, {'9' + 1, 'A' - 1}, {'Z' + 1, 'a' - 1}, {'z' + 1, kMaxCodePoint}}};

bool may_be_escaped(std::uint32_t character) {
  return std::ranges::any_of(
      kNeverLetters, [&](const CodePointRange& range) { return range.first <= character && character <= range.last; });
}

StringStep value_of(std::uint32_t c) {
  StringStep step{Kind::kInside, {}, 1};
  if (c < 0x80) {
    step.bytes[0] = static_cast<std::uint8_t>(c);
    return step;
  }
  step.num_bytes = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (std::size_t i = step.num_bytes - 1U; i > 0; --i, c >>= 6)
    step.bytes[i] = static_cast<std::uint8_t>(0x80 | (c & 0x3F));
  step.bytes[0] = static_cast<std::uint8_t>((0xF00 >> step.num_bytes & 0xFF) | c);
  return step;
}

StringStep itself(std::uint8_t byte) { return {Kind::kInside, {byte}, 1}; }

int hexadecimal(std::uint8_t byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  const int lower = byte | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

StringPlace after(StringPlace place) { return static_cast<StringPlace>(static_cast<int>(place) + 1); }

StringStep step_plain(std::uint8_t byte, StringPlace& place) {
  if (byte == '"') return {Kind::kClosed, {}, 0};
  if (byte == '\\') {
    place = StringPlace::kBackslash;
    return {Kind::kInside, {}, 0};
  }
  if (byte < 0x20 || (byte >= 0x80 && byte < 0xC2) || byte > 0xF4) return {};
  if (byte >= 0xF0) {
    place = byte == 0xF0 ? StringPlace::kAfterF0 : byte == 0xF4 ? StringPlace::kAfterF4 : StringPlace::kTail3;
  } else if (byte >= 0xE0) {
    place = byte == 0xE0 ? StringPlace::kAfterE0 : byte == 0xED ? StringPlace::kAfterED : StringPlace::kTail2;
  } else if (byte >= 0xC2) {
    place = StringPlace::kTail1;
  }
  return itself(byte);
}

StringStep step_tail(std::uint8_t byte, std::uint8_t first, std::uint8_t last, StringPlace next, StringPlace& place) {
  if (byte < first || byte > last) return {};
  place = next;
  return itself(byte);
}

StringStep step_backslash(std::uint8_t byte, StringPlace& place, std::uint32_t& escape) {
  escape = 0;
  place = byte == 'u' ? StringPlace::kHex1 : StringPlace::kPlain;
  switch (byte) {
    case 'u':
      return {Kind::kInside, {}, 0};
    case '"':
    case '\\':
    case '/':
      return itself(byte);
    case 'b':
      return itself('\b');
    case 'f':
      return itself('\f');
    case 'n':
      return itself('\n');
    case 'r':
      return itself('\r');
    case 't':
      return itself('\t');
    default:
      return {};
  }
}

StringStep step_hexadecimal(std::uint8_t byte, StringPlace& place, std::uint32_t& escape) {
  const int digit = hexadecimal(byte);
  if (digit < 0) return {};
  const bool is_low = place >= StringPlace::kLow1;
  if (place == StringPlace::kLow1 && digit != 0xD) return {};
  if (place == StringPlace::kLow2 && digit < 0xC) return {};
  if (place == StringPlace::kHex2 && escape == 0xD && digit >= 0xC) return {};
  escape = (escape & 0xFFFF0000U) | (escape & 0xFFFU) << 4 | static_cast<std::uint32_t>(digit);
  if (place != StringPlace::kHex4 && place != StringPlace::kLow4) {
    place = after(place);
    return {Kind::kInside, {}, 0};
  }
  const std::uint32_t unit = escape & 0xFFFFU;
  if (!is_low && unit >= 0xD800 && unit <= 0xDBFF) {
    escape = unit << 16;
    place = StringPlace::kLowBackslash;
    return {Kind::kInside, {}, 0};
  }
  if (!is_low && !may_be_escaped(unit)) return {};
  place = StringPlace::kPlain;
  const std::uint32_t high = escape >> 16;
  escape = 0;
  return value_of(is_low ? 0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00) : unit);
}

}  // namespace

StringStep step_string(std::uint8_t byte, StringPlace& place, std::uint32_t& escape) {
  switch (place) {
    case StringPlace::kPlain:
      return step_plain(byte, place);
    case StringPlace::kTail1:
      return step_tail(byte, 0x80, 0xBF, StringPlace::kPlain, place);
    case StringPlace::kTail2:
      return step_tail(byte, 0x80, 0xBF, StringPlace::kTail1, place);
    case StringPlace::kTail3:
      return step_tail(byte, 0x80, 0xBF, StringPlace::kTail2, place);
    case StringPlace::kAfterE0:
      return step_tail(byte, 0xA0, 0xBF, StringPlace::kTail1, place);
    case StringPlace::kAfterED:
      return step_tail(byte, 0x80, 0x9F, StringPlace::kTail1, place);
    case StringPlace::kAfterF0:
      return step_tail(byte, 0x90, 0xBF, StringPlace::kTail2, place);
    case StringPlace::kAfterF4:
      return step_tail(byte, 0x80, 0x8F, StringPlace::kTail2, place);
    case StringPlace::kBackslash:
      return step_backslash(byte, place, escape);
    case StringPlace::kLowBackslash:
    case StringPlace::kLowU:
      if (byte != static_cast<std::uint8_t>(place == StringPlace::kLowU ? 'u' : '\\')) return {};
      place = after(place);
      return {Kind::kInside, {}, 0};
    default:
      return step_hexadecimal(byte, place, escape);
  }
}

namespace {

// Whatever the characters are.
std::array<CodePointRange, 2> reachable(StringPlace place, std::uint32_t escape) {
  std::array<CodePointRange, 2> ranges = kNothingElse;
  ranges[0] = {0, kMaxCodePoint};
  const bool is_low = place >= StringPlace::kLowBackslash;
  const StringPlace first_digit = is_low ? StringPlace::kLow1 : StringPlace::kHex1;
  const int digits = std::max(0, static_cast<int>(place) - static_cast<int>(first_digit));
  const std::uint32_t high = escape >> 16;
  if (is_low && digits <= 1) {
    ranges[0].first = 0x10000 + ((high - 0xD800) << 10);
    ranges[0].last = ranges[0].first + 0x3FF;
    return ranges;
  }
  if (place <= StringPlace::kHex1) return ranges;
  const int missing = 4 * (4 - digits);
  const std::uint32_t first = (escape & 0xFFFFU) << missing;
  const std::uint32_t last = first | ((1U << missing) - 1);
  if (is_low) {
    const std::uint32_t base = 0x10000 + ((high - 0xD800) << 10);
    ranges[0] = {base + (first - 0xDC00), base + (last - 0xDC00)};
  } else if (first == 0xD000 && digits == 1) {
    ranges[0] = {0xD000, 0xD7FF};
    ranges[1] = {0x10000, kMaxCodePoint};
  } else if (first >= 0xD800 && last <= 0xDBFF) {
    ranges[0] = {0x10000 + ((first - 0xD800) << 10), 0x10000 + ((last - 0xD800) << 10) + 0x3FF};
  } else {
    ranges[0] = {first, last};
  }
  return ranges;
}

}  // namespace

std::array<CodePointRange, 5> escapable(StringPlace place, std::uint32_t escape) {
  const auto [low, high] = reachable(place, escape);
  std::array<CodePointRange, 5> ranges{};
  for (std::size_t i = 0; i < kNeverLetters.size(); ++i) {
    ranges[i].first = std::max(low.first, kNeverLetters[i].first);
    ranges[i].last = std::min(low.last, kNeverLetters[i].last);
  }
  ranges.back() = high;
  return ranges;
}

}  // namespace caudal::grammar
