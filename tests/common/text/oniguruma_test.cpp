// Expressions mean what they mean in Oniguruma: the gaps between the dialects, and what is refused.
#include "common/text/oniguruma.h"

#include <gtest/gtest.h>

#include "common/text/pattern.h"

namespace caudal {
namespace {

// The pieces of `text` that match, in order.
std::vector<std::string> matches(std::string_view expression, std::string_view text) {
  Result<Pattern> pattern = Pattern::regex(expression);
  EXPECT_TRUE(pattern.ok()) << expression;
  if (!pattern) return {};
  std::vector<std::string> output;
  Matches all(pattern.value(), text);
  while (const std::optional<Span> match = all.next()) output.emplace_back(match->of(text));
  return output;
}

using Strings = std::vector<std::string>;

TEST(Oniguruma, WhiteSpaceLeavesOutTheMongolianVowelSeparator) {
  EXPECT_EQ(matches(R"(\s)", "a\u180E\u00A0b\u0085"), (Strings{"\u00A0", "\u0085"}));
  EXPECT_EQ(matches(R"(\S+)", "a\u180E b"), (Strings{"a\u180E", "b"}));
  EXPECT_EQ(matches(R"([^\S\n]+)", "a \n\tb"), (Strings{" ", "\t"}));
}

TEST(Oniguruma, CategoriesKnowUnicode16) {
  EXPECT_EQ(matches(R"(\p{L}+)", "\u1C89\U000105C0a1"), (Strings{"\u1C89\U000105C0a"}));
  EXPECT_EQ(matches(R"([^\s\p{L}\p{N}]+)", "\u1C89!\U00010D40"), Strings{"!"});
  EXPECT_EQ(matches(R"(\P{L}+)", "\u1C89!"), Strings{"!"});
  EXPECT_EQ(matches(R"(\p{^L}+)", "\u1C89!"), Strings{"!"});
  EXPECT_EQ(matches(R"(\p{Lu}\p{Ll})", "\u1C89\u1C8A"), (Strings{"\u1C89\u1C8A"}));
}

TEST(Oniguruma, WordsHaveMarksAndLatin1Fractions) {
  EXPECT_EQ(matches(R"(\w+)", "e\u0301\u00BD_1 \u2460"), (Strings{"e\u0301\u00BD_1"}));
  EXPECT_EQ(matches(R"([^\w\s]+)", "a\u0301 \u2460!"), (Strings{"\u2460!"}));
}

TEST(Oniguruma, CaseFoldingReachesTheLongSAndTheKelvinSign) {
  EXPECT_EQ(matches(R"((?i:'s|k))", "'S'\u017F\u212A"), (Strings{"'S", "'\u017F", "\u212A"}));
}

TEST(Oniguruma, LinesAndDots) {
  EXPECT_EQ(matches("^b$", "a\nb\nb"), (Strings{"b", "b"}));
  EXPECT_EQ(matches("a.b", "a\nb a\rb"), (Strings{"a\rb"}));
  EXPECT_EQ(matches("(?m:a.b)", "a\nb"), (Strings{"a\nb"}));
}

TEST(Oniguruma, SmallGaps) {
  EXPECT_EQ(matches("a{,2}b", "aaab"), Strings{"aab"});
  EXPECT_EQ(matches(R"(\h+)", "xBEEF "), Strings{"BEEF"});
  EXPECT_EQ(matches(R"(\u00e9)", "\u00E9"), Strings{"\u00E9"});
  EXPECT_EQ(matches(R"([]a]+)", "a]"), Strings{"a]"});
  EXPECT_EQ(matches("{x}", "{x}"), Strings{"{x}"});
  EXPECT_EQ(matches("[[:alpha:]]+", "ab1"), Strings{"ab"});
  EXPECT_EQ(matches(R"(\d\D)", "1a"), Strings{"1a"});
}

TEST(Oniguruma, EmptyMatchesAdvance) {
  EXPECT_EQ(matches("a*", "b\u00E9aa"), (Strings{"", "", "aa"}));
  EXPECT_EQ(matches("", "ab"), (Strings{"", "", ""}));
}

TEST(Oniguruma, RefusesWhatPcre2WouldReadDifferently) {
  for (const std::string expression : {"[a[bc]]", "[a&&b]", "a{1,2}+", "\\", R"([\W])", R"(\u12)", R"(\pL)"}) {
    const Result<std::string> translated = translate_oniguruma(expression);
    EXPECT_FALSE(translated.ok()) << expression;
  }
  EXPECT_FALSE(Pattern::regex("(").ok());
  EXPECT_FALSE(Pattern::regex(R"(\p{NoSuchProperty})").ok());
  EXPECT_FALSE(Pattern::regex(std::string(100'000, 'a')).ok());
}

TEST(Oniguruma, AHostileExpressionEnds) {
  const Result<Pattern> pattern = Pattern::regex("(a+)+b");
  ASSERT_TRUE(pattern.ok());
  EXPECT_FALSE(pattern.value().find(std::string(64, 'a') + "c", 0).has_value());
}

}  // namespace
}  // namespace caudal
