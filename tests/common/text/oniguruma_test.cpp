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

// Wanted: what the package `tokenizers` splits off.
TEST(Oniguruma, ClassesHoldClassesAndIntersections) {
  EXPECT_EQ(matches(R"( ?[^(\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+)", "go (on), now|x \u3002y"),
            (Strings{"go", "on", " now", "x", "y"}));
  EXPECT_EQ(matches(R"([\p{Ll}\p{M}&&[^\p{Han}]]+)", "abc\u6f22d\u0301"), (Strings{"abc", "d\u0301"}));
  EXPECT_EQ(matches("[a-z&&[^aeiou]]+", "hello"), (Strings{"h", "ll"}));
  EXPECT_EQ(matches("[abc&&bcd&&cde]", "abcde"), Strings{"c"});
  EXPECT_EQ(matches("[a-c[x-z]&&[b-y]]+", "abcxyz"), Strings{"bcxy"});
  EXPECT_EQ(matches("[^a&&b]", "ab&c"), (Strings{"a", "b", "&", "c"}));
  EXPECT_EQ(matches("[^a[b]]", "abc\n"), (Strings{"c", "\n"}));
  EXPECT_EQ(matches("[a[^b]]", "abc"), (Strings{"a", "c"}));
  EXPECT_EQ(matches("[^[^a]]", "ab"), Strings{"a"});
  EXPECT_EQ(matches("[[a]-z]", "abz-"), (Strings{"a", "z", "-"}));
  EXPECT_EQ(matches("[a&b]", "a&b"), (Strings{"a", "&", "b"}));
  EXPECT_EQ(matches("[a&&]", "a&"), Strings{});
  EXPECT_EQ(matches(R"([\W])", "a b"), Strings{" "});
  EXPECT_EQ(matches(R"([^\W_]+)", "a_b c"), (Strings{"a", "b", "c"}));
  EXPECT_EQ(matches(R"([\w]+)", "a\u00b2b"), (Strings{"a", "b"})) << "but outside of a class it is a word character";
  EXPECT_EQ(matches(R"([\h&&\d]+)", "12ab3"), (Strings{"12", "3"}));
  EXPECT_EQ(matches(R"([\s-]+)", "a - b"), Strings{" - "});
  EXPECT_EQ(matches("(?i)[k&&[a-z]]", "kKj"), (Strings{"k", "K"}));
}

TEST(Oniguruma, NamedSetsAreThoseOfUnicode) {
  EXPECT_EQ(matches("[[:punct:]]+", "a$!+b"), Strings{"$!+"});
  EXPECT_EQ(matches("[[:upper:][:digit:]]+", "aB\u21621\u1c89"), (Strings{"B\u21621\u1c89"}));
  EXPECT_EQ(matches("[[:^alpha:]_]+", "ab1_\u0345c"), Strings{"1_"});
  EXPECT_EQ(matches("[[:word:]]+", "e\u0301_\u00bd"), Strings{"e\u0301_"});
  EXPECT_EQ(matches("[[:space:]]", "a\u180e\u00a0"), Strings{"\u00a0"});
  EXPECT_EQ(matches(R"(\p{Punct}\p{lu}\p{Decimal_Number}\p{Alnum})", "$!A1\u0661"), Strings{"!A1\u0661"});
  EXPECT_FALSE(Pattern::regex("[[:nothing:]]").ok());
}

TEST(Oniguruma, ScriptsAreThoseOfTheCharacter) {
  EXPECT_EQ(matches(R"(\p{Han}+)", "\u6f22\u30fc\u3005\u3007a\U00031350"),
            (Strings{"\u6f22", "\u3005\u3007", "\U00031350"}));
  EXPECT_EQ(matches(R"(\p{Katakana}+)", "\u30ab\u30fc\u30a1"), (Strings{"\u30ab", "\u30a1"}));
  EXPECT_EQ(matches(R"([^\p{Han}a]+)", "\u6f22bca"), Strings{"bc"});
}

TEST(Oniguruma, APlusBehindAnIntervalRepeatsIt) {
  EXPECT_EQ(matches(R"(\p{N}{1,3}+)", "a12345b"), Strings{"12345"});
  EXPECT_EQ(matches(R"(\p{N}{1,3}+3)", "12343"), Strings{"12343"}) << "it gives back";
  EXPECT_EQ(matches("a{2}+", "aaaaa"), Strings{"aaaa"});
  EXPECT_EQ(matches("(?:ab){2}+", "ababababab"), Strings{"abababab"});
  EXPECT_EQ(matches("x[ab]{,2}+", "xabab"), Strings{"xabab"});
  EXPECT_EQ(matches("a++a", "aaa"), Strings{}) << "this is the possessive one";
}

TEST(Oniguruma, RefusesWhatPcre2WouldReadDifferently) {
  for (const std::string expression : {"[a", "[a[b]", "[[:alpha]", "\\", R"([\u12])", R"(\u12)", R"(\pL)"}) {
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
