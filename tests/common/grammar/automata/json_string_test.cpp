// Strings against Boost.JSON, byte by byte.
#include "common/grammar/automata/json_string.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cctype>
#include <random>

namespace caudal::grammar {
namespace {

// The value, or nothing where the text is no string's inside with its closing quote.
std::optional<std::string> read(std::string_view text) {
  StringPlace place = StringPlace::kPlain;
  std::uint32_t escape = 0;
  std::string value;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const StringStep step = step_string(static_cast<std::uint8_t>(text[i]), place, escape);
    if (step.kind == StringStep::Kind::kRefused) return std::nullopt;
    if (step.kind == StringStep::Kind::kClosed) return i + 1 == text.size() ? std::optional(value) : std::nullopt;
    for (std::size_t n = 0; n < step.num_bytes; ++n) value += static_cast<char>(step.bytes[n]);
  }
  return std::nullopt;
}

TEST(JsonString, AgreesWithBoost) {
  static const std::vector<std::string> parts{
      "a",  "\\n",  "\\u00e9", "\\ud83d",      "\\ude00", "\xC3",           "\xA9",     "\xF0\x9F\x98\x80",
      "\\", "\\\"", "\n",      "\xED\xA0\x80", "\\u12",   "\\uD83d\\uDe00", "\xE2\x80", "/"};
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (std::size_t n = random() % 5; n > 0; --n) text += parts[random() % parts.size()];
    text += '"';
    boost::json::error_code ec;
    const boost::json::value expected = boost::json::parse("\"" + text, ec);
    const auto value = read(text);
    ASSERT_EQ(value.has_value(), !ec) << text;
    if (value) {
      EXPECT_EQ(*value, std::string_view(expected.get_string())) << text;
    }
  }
}

TEST(JsonString, KnowsWhatAnEscapeCanBecome) {
  for (const std::uint32_t c : {0x00U, 0x22U, 0x2FU, 0x3CU, 0x40U, 0x60U, 0x7FU, 0xE9U, 0xD7FFU, 0xE000U, 0xFFFFU,
                                0x10000U, 0x1F600U, 0x10FFFFU}) {
    std::string text = c < 0x10000 ? fmt::format("\\u{:04x}", c)
                                   : fmt::format("\\u{:04X}\\u{:04x}", 0xD800 + ((c - 0x10000) >> 10),
                                                 0xDC00 + ((c - 0x10000) & 0x3FF));
    StringPlace place = StringPlace::kPlain;
    std::uint32_t escape = 0;
    for (std::size_t i = 0; i + 1 < text.size(); ++i) {
      ASSERT_EQ(step_string(static_cast<std::uint8_t>(text[i]), place, escape).num_bytes, 0) << text;
      bool is_possible = false;
      for (const CodePointRange& range : escapable(place, escape))
        is_possible = is_possible || (range.first <= c && c <= range.last);
      EXPECT_TRUE(is_possible) << text << " after " << i + 1;
    }
  }
}

// Each place of an escape that begins can be gone on from, and an end is found for all characters but those.
TEST(JsonString, LettersAndDigitsAreNotEscaped) {
  for (std::uint32_t c = 0; c < 0x200; ++c) {
    const bool is_plain = c < 0x80 && std::isalnum(static_cast<int>(c)) != 0;
    EXPECT_EQ(read(fmt::format("\\u{:04x}\"", c)).has_value(), !is_plain) << c;
    bool is_possible = false;
    for (const CodePointRange& range : escapable(StringPlace::kHex1, 0))
      is_possible = is_possible || (range.first <= c && c <= range.last);
    EXPECT_EQ(is_possible, !is_plain) << c;
  }
}

}  // namespace
}  // namespace caudal::grammar
