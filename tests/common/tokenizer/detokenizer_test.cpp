// Incremental detokenization: the deltas together are the whole text, and none ends inside a character.
#include "common/tokenizer/detokenizer.h"

#include <gtest/gtest.h>

#include "common/text/unicode.h"
#include "tests/common/tokenizer/generated_text.h"

namespace caudal {
namespace {

std::vector<std::string> deltas(const Tokenizer& tokenizer, const std::vector<TokenId>& ids, bool skip) {
  std::vector<std::string> output;
  IncrementalDetokenizer detokenizer(tokenizer, skip);
  for (const TokenId id : ids) output.push_back(detokenizer.push(id));
  output.push_back(detokenizer.finish());
  return output;
}

std::vector<TokenId> ids_of(const Tokenizer& tokenizer, const std::vector<std::string>& tokens) {
  std::vector<TokenId> ids;
  for (const std::string& token : tokens) ids.push_back(tokenizer.token_to_id(token).value());
  return ids;
}

class Detokenizer : public testing::TestWithParam<std::string> {};

TEST_P(Detokenizer, DeltasAreTheWholeText) {
  const std::unique_ptr<Tokenizer> tokenizer = test::load_family(GetParam());
  const auto end_id = static_cast<std::uint64_t>(tokenizer->vocab_size());
  for (std::uint64_t i = 0; i < 5000; ++i) {
    const bool skip = i % 2 == 0;
    const std::vector<TokenId> ids = test::random_ids(77, i, end_id);
    std::string text;
    for (const std::string& delta : deltas(*tokenizer, ids, skip)) {
      ASSERT_TRUE(is_valid_utf8(delta)) << "list " << i;
      text += delta;
    }
    ASSERT_EQ(text, tokenizer->decode(ids, skip)) << "list " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Detokenizer, testing::ValuesIn(test::families()),
                         [](const auto& info) { return info.param; });

TEST(DetokenizerDeltas, CharactersWaitForTheirLastByte) {
  const auto tokenizer = test::load_family("gpt2");
  const std::vector<TokenId> ids = ids_of(*tokenizer, {"a", "ð", "Ł", "ĺ", "Ģ", "ð"});
  EXPECT_EQ(deltas(*tokenizer, ids, true), (std::vector<std::string>{"a", "", "", "", "\U0001F600", "", "\uFFFD"}));
}

TEST(DetokenizerDeltas, RunsOfByteTokensWaitForTheirEnd) {
  const auto tokenizer = test::load_family("mistral");
  const std::vector<TokenId> good = ids_of(*tokenizer, {"<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "a"});
  EXPECT_EQ(deltas(*tokenizer, good, true), (std::vector<std::string>{"", "", "", "", "\U0001F600a", ""}));
  const std::vector<TokenId> bad = ids_of(*tokenizer, {"<0xC3>", "<0xA9>", "<0xC3>"});
  EXPECT_EQ(deltas(*tokenizer, bad, true), (std::vector<std::string>{"", "", "", "\uFFFD\uFFFD\uFFFD"}));
}

TEST(DetokenizerDeltas, OnlyTheFirstSpaceIsStripped) {
  const auto tokenizer = test::load_family("llama2");
  const std::vector<TokenId> ids = ids_of(*tokenizer, {"<s>", "▁", "▁the", "▁the", "</s>"});
  EXPECT_EQ(deltas(*tokenizer, ids, true), (std::vector<std::string>{"", "", " the", " the", "", ""}));
}

TEST(DetokenizerDeltas, UnknownIdsAddNothing) {
  const auto tokenizer = test::load_family("gpt2");
  EXPECT_EQ(deltas(*tokenizer, {-1, tokenizer->vocab_size(), 1 << 30}, false),
            (std::vector<std::string>{"", "", "", ""}));
}

}  // namespace
}  // namespace caudal
