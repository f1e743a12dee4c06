// The matcher over tokens: masks, rollback, copies, what is forced, ends.
#include "common/grammar/matcher.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/common/grammar/small_vocabulary.h"

namespace caudal::grammar {
namespace {

std::shared_ptr<const Grammar> compile(GrammarKind kind, std::string_view text) {
  auto grammar = Grammar::compile(kind, text);
  EXPECT_TRUE(grammar) << grammar.error().message;
  return grammar.value();
}

Matcher matcher_of(GrammarKind kind, std::string_view text) { return {compile(kind, text), small_vocabulary()}; }

TokenId token_of(const Matcher& matcher, std::string_view text) {
  for (TokenId token = 1; token < static_cast<TokenId>(matcher.vocabulary().size()); ++token) {
    if (matcher.vocabulary().bytes(token) == text) return token;
  }
  ADD_FAILURE() << text;
  return -1;
}

std::vector<std::uint64_t> mask_of(Matcher& matcher) {
  std::vector<std::uint64_t> mask(matcher.vocabulary().mask_words());
  matcher.fill_mask(mask);
  return mask;
}

bool accept_all(Matcher& matcher, const std::vector<std::string>& tokens) {
  return std::ranges::all_of(tokens, [&](const std::string& text) { return matcher.accept(token_of(matcher, text)); });
}

void expect_exact(const Matcher& matcher) {
  Matcher asked = matcher;
  const auto mask = mask_of(asked);
  for (TokenId token = 0; token < static_cast<TokenId>(matcher.vocabulary().size()); ++token) {
    Matcher copy = matcher;
    EXPECT_EQ(copy.accept(token), has(mask, token)) << matcher.vocabulary().bytes(token);
  }
}

constexpr const char* kSchema =
    R"({"type":"object","properties":{"name":{"type":"string","maxLength":5},"b":{"type":"array","items":{"enum":["abc","ab"]}}},)"
    R"("required":["name","b"],"additionalProperties":false})";

TEST(Matcher, MasksSayWhatIsAccepted) {
  Matcher matcher = matcher_of(GrammarKind::kJsonSchema, kSchema);
  expect_exact(matcher);
  for (const char* token :
       {"{\"", "name", "\":\"", "ab", "\xC3\xA9", "a\"", ", ", "\"", "b\":", "[\"", "ab", "\",\"", "abc", "\"]", "}"}) {
    ASSERT_TRUE(matcher.accept(token_of(matcher, token))) << token;
    expect_exact(matcher);
  }
  EXPECT_TRUE(matcher.is_complete());
}

TEST(Matcher, RefusedTokensChangeNothing) {
  Matcher matcher = matcher_of(GrammarKind::kJsonSchema, kSchema);
  ASSERT_TRUE(accept_all(matcher, {"{\"", "name"}));
  const auto mask = mask_of(matcher);
  EXPECT_FALSE(matcher.accept(token_of(matcher, "abc")));
  EXPECT_FALSE(matcher.accept(0));
  EXPECT_FALSE(matcher.accept(-1));
  EXPECT_FALSE(matcher.accept(100'000));
  EXPECT_EQ(mask_of(matcher), mask);
  EXPECT_EQ(matcher.num_tokens(), 2U);
}

TEST(Matcher, RollsBack) {
  Matcher matcher = matcher_of(GrammarKind::kJsonSchema, kSchema);
  std::vector<std::vector<std::uint64_t>> masks;
  const std::vector<std::string> tokens{"{\"", "b\":", "[\"", "ab", "\",\"", "abc", "\"]"};
  for (const std::string& token : tokens) {
    masks.push_back(mask_of(matcher));
    ASSERT_TRUE(accept_all(matcher, {token}));
  }
  for (std::size_t n = tokens.size(); n > 0; --n) {
    matcher.rollback(1);
    EXPECT_EQ(mask_of(matcher), masks[n - 1]);
  }
  ASSERT_TRUE(accept_all(matcher, tokens));
  matcher.rollback(tokens.size());
  EXPECT_EQ(mask_of(matcher), masks[0]);
}

// Whatever one of them does, the other's state stays.
TEST(Matcher, CopiesAreIndependent) {
  Matcher matcher = matcher_of(GrammarKind::kJsonSchema, R"({"type":"array","uniqueItems":true})");
  ASSERT_TRUE(accept_all(matcher, {"[[", "12", "]", ",", "{\"", "a\"", ":", "\"", "ab\",\""}));
  const auto mask = mask_of(matcher);
  Matcher copy = matcher;
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(accept_all(copy, {"abc"}));
  matcher.rollback(4);
  ASSERT_TRUE(accept_all(matcher, {"b\":", "[[", "null", "]"}));
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(accept_all(matcher, {",", "{}", ",", "12", ",", "123"}) || i > 0);
  copy.rollback(300);
  EXPECT_EQ(mask_of(copy), mask);
}

TEST(Matcher, IsAFunctionOfTheTokens) {
  const auto grammar = compile(GrammarKind::kJsonSchema, kSchema);
  Matcher used(grammar, small_vocabulary());
  ASSERT_TRUE(accept_all(used, {"{\"", "b\":", "[", "]", ","}));
  used.rollback(4);
  Matcher fresh(grammar, small_vocabulary());
  ASSERT_TRUE(accept_all(fresh, {"{\""}));
  for (const char* token : {"name", "\":\"", "ab", "a\"", ", "}) {
    EXPECT_EQ(mask_of(used), mask_of(fresh)) << token;
    ASSERT_TRUE(accept_all(used, {token}) && accept_all(fresh, {token}));
  }
}

TEST(Matcher, KnowsWhatIsForced) {
  Matcher matcher = matcher_of(
      GrammarKind::kJsonSchema,
      R"({"type":"object","properties":{"name":{"const":"abc"}},"required":["name"],"additionalProperties":false})");
  EXPECT_EQ(matcher.forced(), R"({"name":"abc"})");
  EXPECT_EQ(matcher.forced(4), R"({"na)");
  ASSERT_TRUE(accept_all(matcher, {"{\"", "name"}));
  EXPECT_EQ(matcher.forced(), R"(":"abc"})");
  EXPECT_EQ(matcher_of(GrammarKind::kRegex, "(ab|ac)d").forced(), "a");
}

TEST(Matcher, EndsOnce) {
  Matcher matcher = matcher_of(GrammarKind::kJsonSchema, R"({"type":"integer"})");
  EXPECT_FALSE(matcher.is_complete());
  ASSERT_TRUE(accept_all(matcher, {"12"}));
  EXPECT_TRUE(matcher.is_complete());
  EXPECT_TRUE(has(mask_of(matcher), 0));
  ASSERT_TRUE(matcher.accept(0));
  EXPECT_TRUE(matcher.has_ended());
  EXPECT_FALSE(matcher.accept(token_of(matcher, "12")));
  EXPECT_EQ(mask_of(matcher), std::vector<std::uint64_t>(matcher.vocabulary().mask_words(), 0));
  matcher.rollback(1);
  EXPECT_TRUE(matcher.accept(token_of(matcher, "123")));
}

// An output that prefers white space and odd places to break lines always finds a way on: a mask is never empty.
TEST(Matcher, LeavesAlwaysAWayOn) {
  std::mt19937 random(4);
  for (
      const char* schema :
      {kSchema, R"({"type":"array","minItems":2,"items":{"type":"integer","maximum":50}})",
       R"({"type":"object","properties":{"a":{"enum":["x",1]},"b":{"type":"object","required":["c","d"]}},"required":["a","b"]})",
       R"({"type":"object","minProperties":3,"additionalProperties":{"type":["null","number"]}})"}) {
    const Matcher fresh = matcher_of(GrammarKind::kJsonSchema, schema);
    for (int walk = 0; walk < 60; ++walk) {
      Matcher matcher = fresh;
      std::string output;
      for (int i = 0; i < 150 && !matcher.has_ended(); ++i) {
        const auto mask = mask_of(matcher);
        std::vector<TokenId> all, blank;
        for (TokenId token = 0; token < static_cast<TokenId>(matcher.vocabulary().size()); ++token) {
          if (!has(mask, token)) continue;
          all.push_back(token);
          const std::string_view text = matcher.vocabulary().bytes(token);
          if (!text.empty() && text.find_first_not_of(" \t\r\n") == std::string_view::npos) blank.push_back(token);
        }
        ASSERT_FALSE(all.empty()) << schema << " after " << output;
        const auto& from = !blank.empty() && random() % 3 > 0 ? blank : all;
        const TokenId token = from[random() % from.size()];
        output += matcher.vocabulary().bytes(token);
        ASSERT_TRUE(matcher.accept(token));
      }
    }
  }
}

TEST(Matcher, RegexAndChoices) {
  Matcher regex = matcher_of(GrammarKind::kRegex, "[a-c]{2,4}\\n?\xC3\xA9");
  expect_exact(regex);
  ASSERT_TRUE(accept_all(regex, {"ab"}));
  expect_exact(regex);
  EXPECT_FALSE(regex.is_complete());
  ASSERT_TRUE(accept_all(regex, {"\xC3\xA9"}));
  EXPECT_TRUE(regex.is_complete());
  Matcher choice = matcher_of(GrammarKind::kChoices, R"(["true","name","12"])");
  expect_exact(choice);
  ASSERT_TRUE(accept_all(choice, {"name"}));
  EXPECT_TRUE(choice.is_complete());
  expect_exact(choice);
}

TEST(Grammar, RefusesWhatIsNone) {
  const auto message = [](GrammarKind kind, std::string_view text) {
    const auto grammar = Grammar::compile(kind, text, {.max_text_bytes = 100});
    return grammar ? "" : grammar.error().message;
  };
  EXPECT_EQ(message(GrammarKind::kRegex, "\xFF"), "the grammar is not UTF-8");
  EXPECT_EQ(message(GrammarKind::kRegex, std::string(101, 'a')), "the grammar has 101 bytes; at most 100 are allowed");
  EXPECT_EQ(message(GrammarKind::kRegex, "a[]"), "no text matches the expression");
  EXPECT_EQ(message(GrammarKind::kChoices, R"(["a",1])"), "/1: a choice must be a string that is not empty");
  EXPECT_EQ(message(GrammarKind::kChoices, "[]"), "must be a list of choices");
  EXPECT_EQ(message(GrammarKind::kJsonSchema, R"({"not":{}})"), "the schema: no value satisfies it");
  EXPECT_EQ(message(GrammarKind::kJsonSchema, R"({"type":"null","type":"string"})"),
            "not valid JSON: an object has the same key twice");
}

}  // namespace
}  // namespace caudal::grammar
