// UTF-8 repair, the byte-level alphabet, and normalization with the data of Unicode 9.
#include "common/text/unicode.h"

#include <gtest/gtest.h>

#include "common/text/normal_form.h"

namespace caudal {
namespace {

std::string repaired(std::string_view bytes, std::size_t piece_size) {
  Utf8Repair repair;
  std::string output;
  for (std::size_t i = 0; i < bytes.size(); i += piece_size) repair.push(bytes.substr(i, piece_size), output);
  repair.finish(output);
  return output;
}

TEST(Utf8, RepairReplacesMaximalSubparts) {
  struct Case {
    std::string_view bytes;
    std::string_view expected;
  };
  const std::vector<Case> cases = {
      {"plain", "plain"},
      {"\xC3\xA9\xE4\xB8\x80\xF0\x9F\x98\x80", "\u00E9\u4E00\U0001F600"},
      {"\x80", "\uFFFD"},
      {"\xC0\xAF", "\uFFFD\uFFFD"},                      // overlong
      {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},            // surrogate
      {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"},  // past U+10FFFF
      {"\xE4\xB8x", "\uFFFDx"},                          // one subpart of two bytes
      {"\xF0\x9F\x98\xE4\xB8\x80", "\uFFFD\u4E00"},
      {"a\xF0\x9F", "a\uFFFD"},
  };
  for (const Case& c : cases) {
    for (const std::size_t piece_size : {1, 2, 3, 100})
      EXPECT_EQ(repaired(c.bytes, piece_size), c.expected) << c.expected;
    EXPECT_EQ(is_valid_utf8(c.bytes), c.bytes == c.expected);
  }
}

TEST(Utf8, CodePointsRoundTrip) {
  for (char32_t c = 1; c < 0x110000; c += 37) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    const CodePoint decoded = decode_utf8(text, 0);
    ASSERT_EQ(decoded.value, c);
    ASSERT_EQ(decoded.num_bytes, text.size());
    ASSERT_TRUE(is_valid_utf8(text));
  }
}

TEST(ByteAlphabet, IsABijection) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string_view character = byte_to_alphabet(static_cast<std::uint8_t>(byte));
    EXPECT_EQ(alphabet_to_byte(decode_utf8(character, 0).value), byte);
  }
  EXPECT_EQ(byte_to_alphabet(' '), "Ġ");
  EXPECT_EQ(alphabet_to_byte(U' '), -1);
  EXPECT_EQ(alphabet_to_byte(U'\u4E00'), -1);
}

TEST(NewCharacters, AreSortedAndFound) {
  char32_t last = 0;
  for (const NewCharacters& entry : new_characters()) {
    EXPECT_GT(entry.first, last);
    EXPECT_GE(entry.last, entry.first);
    EXPECT_EQ(find_new_character(entry.last), &entry);
    last = entry.last;
  }
  EXPECT_EQ(find_new_character(U'a'), nullptr);
  EXPECT_EQ(find_new_character(U'\U0010FFFF'), nullptr);
}

TEST(NormalForm, ComposesAndDecomposes) {
  EXPECT_EQ(normalize_unicode("e\u0301", NormalForm::kNfc), "\u00E9");
  EXPECT_EQ(normalize_unicode("\u00E9", NormalForm::kNfd), "e\u0301");
  EXPECT_EQ(normalize_unicode("\u1100\u1161\u11A8", NormalForm::kNfc), "\uAC01");
  EXPECT_EQ(normalize_unicode("\uFB01\u00BD", NormalForm::kNfkc), "fi1\u20442");
  EXPECT_EQ(normalize_unicode("a\u0301\u0316", NormalForm::kNfd), "a\u0316\u0301");
  EXPECT_EQ(normalize_unicode(std::string_view("\0a\xCC\x81", 4), NormalForm::kNfc), std::string_view("\0\u00E1", 3));
}

// U+11938 came with Unicode 13, U+1ABF with 13, U+0C3C with 14.
TEST(NormalForm, LeavesNewerCharactersAlone) {
  EXPECT_EQ(normalize_unicode("\U00011935\U00011930", NormalForm::kNfc), "\U00011935\U00011930");
  EXPECT_EQ(normalize_unicode("\U00011938", NormalForm::kNfd), "\U00011938");
  EXPECT_EQ(normalize_unicode("a\u0301\u1ABF", NormalForm::kNfd), "a\u0301\u1ABF");
}

}  // namespace
}  // namespace caudal
