// Texts, tags and grammars one after another: what passes, what is refused where, and that masks are exact.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <random>

#include "common/grammar/matcher.h"
#include "common/grammar/tags/free_text.h"
#include "tests/common/grammar/accepts.h"

namespace caudal::grammar {
namespace {

// All bytes, some words, and two special tokens. 0 ends.
std::shared_ptr<const TokenVocabulary> vocabulary() {
  std::vector<std::string> tokens{""};
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* word : {"<f>", "</f>", "<f", "x<", "f>{", "}</", "12", "ab", "abc", "{\"", "\":", "a<f>1", "1</f>b"})
    tokens.emplace_back(word);
  for (const char* special : {"\xFF<call>", "\xFF<end>"}) tokens.emplace_back(special);
  return std::make_shared<const TokenVocabulary>(std::move(tokens), std::vector<TokenId>{0});
}

std::shared_ptr<const Grammar> tags(const std::string& format) {
  auto grammar =
      Grammar::compile(GrammarKind::kTags, fmt::format(R"({{"type":"structural_tag","format":{}}})", format));
  EXPECT_TRUE(grammar) << format << "\n" << grammar.error().message;
  return grammar.value();
}

// A special token stands in `text` as 0xFF and its text.
bool accepts(const std::shared_ptr<const Grammar>& grammar, std::string_view text) { return accepts(*grammar, text); }

std::string refusal(const std::string& text) {
  const auto grammar = Grammar::compile(GrammarKind::kTags, text);
  return grammar ? "" : grammar.error().message;
}

void expect_exact(const Matcher& matcher) {
  Matcher asked = matcher;
  std::vector<std::uint64_t> mask(matcher.vocabulary().mask_words());
  asked.fill_mask(mask);
  for (TokenId token = 0; token < static_cast<TokenId>(matcher.vocabulary().size()); ++token) {
    Matcher copy = matcher;
    EXPECT_EQ(copy.accept(token), (mask[static_cast<std::size_t>(token) / 64] >> (token % 64) & 1) != 0)
        << token << " " << matcher.vocabulary().bytes(token);
  }
}

// By single bytes; 0xFF begins a special token.
void walk_exactly(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  const auto known = vocabulary();
  Matcher matcher(grammar, known);
  for (std::size_t i = 0; i < text.size();) {
    expect_exact(matcher);
    std::size_t size = 1;
    TokenId token = 1 + static_cast<unsigned char>(text[i]);
    for (auto id = static_cast<TokenId>(known->size() - 2);
         text[i] == '\xFF' && id < static_cast<TokenId>(known->size()); ++id) {
      if (text.substr(i).starts_with(known->bytes(id))) token = id, size = known->bytes(id).size();
    }
    ASSERT_TRUE(matcher.accept(token)) << i << " of " << text;
    i += size;
  }
  expect_exact(matcher);
  EXPECT_TRUE(matcher.is_complete()) << text;
}

constexpr const char* kSchema =
    R"({"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false})";
const std::string kTag = fmt::format(
    R"({{"type":"tag","begin":"<f>","content":{{"type":"json_schema","json_schema":{}}},"end":"</f>"}})", kSchema);

TEST(Tags, OneAfterAnother) {
  const auto grammar = tags(
      R"({"type":"sequence","elements":[{"type":"const_string","value":"x="},{"type":"regex","pattern":"[0-9]+"},)"
      R"({"type":"or","elements":[{"type":"const_string","value":";"},{"type":"choices","choices":["ab","abc"]}]}]})");
  EXPECT_TRUE(accepts(grammar, "x=1;"));
  EXPECT_TRUE(accepts(grammar, "x=123abc"));
  EXPECT_FALSE(accepts(grammar, "x=;"));
  EXPECT_FALSE(accepts(grammar, "x=1"));
  EXPECT_FALSE(accepts(grammar, "x=1;;"));
  walk_exactly(grammar, "x=12abc");
}

TEST(Tags, ATextEndsWithItsTag) {
  const auto grammar =
      tags(R"({"type":"sequence","elements":[{"type":"tag","begin":"<t>","content":{"type":"any_text"},"end":"</t>"},)"
           R"({"type":"json_schema","json_schema":{"type":"integer"}}]})");
  EXPECT_TRUE(accepts(grammar, "<t>anything </t </</t>12"));
  EXPECT_TRUE(accepts(grammar, "<t></t>0"));
  EXPECT_FALSE(accepts(grammar, "<t>a</t>b"));
  EXPECT_FALSE(accepts(grammar, "<t>a</t>"));
  EXPECT_FALSE(accepts(grammar, "<t>a\xFF<call></t>1"));
  walk_exactly(grammar, "<t>a</</t>12");
}

TEST(Tags, TriggersStartTags) {
  const auto free = tags(fmt::format(R"({{"type":"triggered_tags","triggers":["<f"],"tags":[{}]}})", kTag));
  for (const char* text : {"", "no call", "a < b", "<f>{\"a\":1}</f>", "text <f>{\"a\":1}</f> and <f>{ \"a\": 2}</f>!"})
    EXPECT_TRUE(accepts(free, text)) << text;
  for (const char* text : {"<f", "<fx", "<f>{}</f>", "<f>{\"a\":1}", "<f>{\"a\":1}</f", "<<f>{\"a\":true}</f>"})
    EXPECT_FALSE(accepts(free, text)) << text;
  walk_exactly(free, "x<<f>{\"a\":12}</f>y");
  const auto once = tags(fmt::format(
      R"({{"type":"triggered_tags","triggers":["<f>"],"tags":[{}],"at_least_one":true,"stop_after_first":true}})",
      kTag));
  EXPECT_TRUE(accepts(once, "so <f>{\"a\":1}</f>"));
  EXPECT_FALSE(accepts(once, "so"));
  EXPECT_FALSE(accepts(once, "<f>{\"a\":1}</f>.")) << "it stops there";
  walk_exactly(once, "x<f>{\"a\":1}</f>");
}

TEST(Tags, TagsWithSeparators) {
  const std::string format =
      fmt::format(R"({{"type":"tags_with_separator","tags":[{}],"separator":"; ","at_least_one":)", kTag);
  const auto some = tags(format + "true}");
  const auto any = tags(format + "false}");
  const std::string one = "<f>{\"a\":1}</f>";
  EXPECT_TRUE(accepts(some, one) && accepts(any, one) && accepts(some, one + "; " + one + "; " + one));
  EXPECT_TRUE(accepts(any, ""));
  EXPECT_FALSE(accepts(some, ""));
  EXPECT_FALSE(accepts(some, one + one) || accepts(some, one + "; "));
  walk_exactly(some, one + "; " + one);
}

TEST(Tags, Repetition) {
  const std::string word = R"("content":{"type":"const_string","value":"ab"}})";
  EXPECT_TRUE(accepts(tags(R"({"type":"star",)" + word), "") && accepts(tags(R"({"type":"star",)" + word), "abab"));
  EXPECT_FALSE(accepts(tags(R"({"type":"plus",)" + word), ""));
  EXPECT_TRUE(accepts(tags(R"({"type":"plus",)" + word), "ababab"));
  EXPECT_TRUE(accepts(tags(R"({"type":"optional",)" + word), ""));
  EXPECT_FALSE(accepts(tags(R"({"type":"optional",)" + word), "abab"));
}

// U+FFFF marks the text of a special token; the same letters are something else.
TEST(Tags, SpecialTokens) {
  const auto grammar =
      tags(R"({"type":"triggered_tags","triggers":["\uffff<call>"],"tags":[{"type":"tag","begin":"\uffff<call>",)"
           R"("content":{"type":"regex","pattern":"[a-z]*"},"end":"\uffff<end>"}]})");
  EXPECT_TRUE(accepts(grammar, "x\xFF<call>ab\xFF<end>y"));
  EXPECT_TRUE(accepts(grammar, "x<call>12"));
  EXPECT_FALSE(accepts(grammar, "x\xFF<call>ab<end>"));
  EXPECT_FALSE(accepts(grammar, "x\xFF<end>"));
  walk_exactly(grammar, "x\xFF<call>ab\xFF<end>y");
}

TEST(Tags, TheOlderForm) {
  const auto grammar = Grammar::compile(
      GrammarKind::kTags,
      fmt::format(R"({{"structures":[{{"begin":"<f>","schema":{},"end":"</f>"}}],"triggers":["<f"]}})", kSchema));
  ASSERT_TRUE(grammar) << grammar.error().message;
  EXPECT_TRUE(accepts(grammar.value(), "a<f>{\"a\":1}</f>b"));
  EXPECT_FALSE(accepts(grammar.value(), "a<f>{}</f>b"));
}

TEST(Tags, SaysWhatItRefusesAndWhere) {
  EXPECT_EQ(refusal("[]"), "must be an object");
  EXPECT_EQ(refusal(R"({"format":{"type":"dance"}})"), "format.type: This type is not supported.");
  EXPECT_EQ(refusal(R"({"format":{"type":"any_text","style":1}})"), "format.style: It is not supported here.");
  EXPECT_EQ(refusal(R"({"format":{"type":"sequence","elements":[{"type":"regex","pattern":"(a"}]}})"),
            "format.elements[0].pattern: a '(' without its ')' at character 3");
  EXPECT_EQ(refusal(R"({"format":{"type":"or","elements":[]}})"), "format.elements: It must hold at least one format.");
  EXPECT_EQ(
      refusal(
          R"({"format":{"type":"triggered_tags","triggers":["<a"],"tags":[{"begin":"b","content":{"type":"any_text"},"end":"c"}]}})"),
      "format.tags[0].begin: It must begin with one of the triggers.");
  EXPECT_EQ(refusal(R"({"format":{"type":"json_schema","json_schema":{"unevaluatedItems":false}}})"),
            "format.json_schema: /unevaluatedItems: this keyword is not supported");
  std::string many;
  for (int i = 0; i < 60'000; ++i) many += "ab";
  EXPECT_EQ(refusal(fmt::format(R"({{"format":{{"type":"const_string","value":"{}"}}}})", many)),
            "format: It is too large.");
}

// The first of the words to end, found by looking at every place.
TEST(FreeText, FindsWhatComesFirst) {
  std::mt19937 random(3);
  const auto text_of = [&](std::size_t size) {
    std::string text;
    while (text.size() < size) text += "abc"[random() % 3];
    return text;
  };
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::pair<std::string, std::uint32_t>> words;
    for (std::uint32_t n = 0; n < 1 + random() % 4; ++n) words.emplace_back(text_of(1 + random() % 4), n);
    const FreeText free(words);
    const std::string text = text_of(20);
    std::uint32_t state = 0;
    std::size_t end = 0;
    std::uint32_t found = FreeText::kNone;
    while (end < text.size() && found == FreeText::kNone) {
      const FreeText::Step step = free.step(state, static_cast<std::uint8_t>(text[end++]));
      ASSERT_TRUE(step.is_allowed);
      state = step.state;
      found = step.word;
    }
    bool any = false;
    std::size_t first = text.size();
    for (std::size_t e = 1; e <= text.size() && !any; ++e) {
      for (const auto& [word, n] : words) any = any || std::string_view(text).substr(0, e).ends_with(word);
      if (any) first = e;
    }
    EXPECT_EQ(found != FreeText::kNone, any);
    EXPECT_EQ(end, first);
    if (any) {
      EXPECT_TRUE(std::string_view(text).substr(0, end).ends_with(words[found].first));
    }
  }
}

}  // namespace
}  // namespace caudal::grammar
