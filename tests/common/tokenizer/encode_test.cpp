// What parity_test cannot show: time on long inputs, threads, input that is not UTF-8, round trips.
#include <gtest/gtest.h>
#include <time.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <iterator>
#include <thread>

#include "common/tokenizer/hf_json.h"
#include "common/tokenizer/tokenizer.h"
#include "tests/common/tokenizer/generated_text.h"
#include "tests/sanitized.h"

namespace caudal {
namespace {

namespace json = boost::json;

std::string read_whole(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// CPU time, so that other processes do not count.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::string repeat(std::string_view unit, std::size_t num_bytes) {
  std::string text;
  while (text.size() < num_bytes) text += unit;
  return text;
}

class LongInput : public testing::TestWithParam<std::string> {};

TEST_P(LongInput, OneMegabyteTakesLessThanASecond) {
  const auto tokenizer = test::load_family(GetParam());
  const std::vector<std::string> units = {"a", " ", "0", "\U0001F600", "a ", "\u0301\u0316"};
  for (const std::string& unit : units) {
    const std::string text = repeat(unit, test::kSanitized ? 1 << 15 : 1 << 20);
    const double start = thread_seconds();
    const std::vector<TokenId> ids = tokenizer->encode(text);
    EXPECT_LT(thread_seconds() - start, 1.0) << testing::PrintToString(unit);
    EXPECT_FALSE(ids.empty());
  }
}

INSTANTIATE_TEST_SUITE_P(Families, LongInput,
                         testing::Values("gpt2", "llama3", "qwen2", "llama2", "mistral", "bert", "unigram", "words"),
                         [](const auto& info) { return info.param; });

TEST(Encode, EmptyTextIsOnlyTheTokensAroundIt) {
  const auto tokenizer = test::load_family("llama3");
  EXPECT_EQ(tokenizer->encode(""), std::vector<TokenId>{tokenizer->token_to_id("<|begin_of_text|>").value()});
  EXPECT_TRUE(tokenizer->encode("", {.add_special_tokens = false}).empty());
}

TEST(Encode, BytesThatAreNotUtf8CountAsReplacementCharacters) {
  for (const std::string& family : test::families()) {
    const auto tokenizer = test::load_family(family);
    EXPECT_EQ(tokenizer->encode("a\xFF\xE4\xB8 b\xF0\x9F"), tokenizer->encode("a\uFFFD\uFFFD b\uFFFD")) << family;
  }
}

// Found before normalization (llama3) and after it (gpt2, bert's lower case among it).
TEST(Encode, NoSpecialTokenBeginsWhereTheCallerForbidsIt) {
  struct {
    const char* family;
    const char* special;
    bool normalized;
  } const cases[] = {{"llama3", "<|eot_id|>", false}, {"gpt2", "<|endoftext|>", true}, {"bert", "[MASK]", true}};
  for (const auto& [family, special, normalized] : cases) {
    std::string document = read_whole(test::family_dir(family) / "tokenizer.json");
    if (normalized) {  // as older files have it
      json::value parsed = json::parse(document);
      for (json::value& token : parsed.at("added_tokens").as_array()) token.as_object()["normalized"] = true;
      document = json::serialize(parsed);
    }
    const json::value root = json::parse(document);
    const auto tokenizer = read_hf_tokenizer(JsonNode(root), std::nullopt);
    const TokenId id = tokenizer->token_to_id(special).value();
    for (const std::string front : {"", "a", "\uFDD0 a ", "A\u0301 B"}) {
      const std::string text = front + special + "b";
      const std::size_t forbidden[] = {front.size()};
      std::vector<TokenId> expected = tokenizer->encode(text, {.add_special_tokens = false, .parse_special = false});
      expected.push_back(id);
      EXPECT_EQ(tokenizer->encode(text + special, {.add_special_tokens = false, .plain_at = forbidden}), expected)
          << family << front;
    }
  }
}

TEST(Encode, SpecialTokensAreTextWhenTheCallerSaysSo) {
  const auto tokenizer = test::load_family("qwen2");
  const std::string text = "<|im_start|>user<tool_call>";
  const TokenId im_start = tokenizer->token_to_id("<|im_start|>").value();
  const TokenId tool_call = tokenizer->token_to_id("<tool_call>").value();
  const auto contains = [](const std::vector<TokenId>& ids, TokenId id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  EXPECT_TRUE(contains(tokenizer->encode(text), im_start));
  const std::vector<TokenId> plain = tokenizer->encode(text, {.parse_special = false});
  EXPECT_FALSE(contains(plain, im_start));
  EXPECT_TRUE(contains(plain, tool_call));  // added, but not special
  EXPECT_EQ(tokenizer->decode(plain, true), text);
  EXPECT_TRUE(tokenizer->is_special(im_start));
  EXPECT_FALSE(tokenizer->is_special(tool_call));
}

// Without a normalizer, byte-level tokenizers lose nothing.
TEST(Encode, ByteLevelRoundTrip) {
  const test::TextGenerator generator;
  for (const std::string family : {"gpt2", "llama3"}) {
    const auto tokenizer = test::load_family(family);
    for (std::uint64_t i = 0; i < 2000; ++i) {
      const std::string text = generator.text(5, i);
      ASSERT_EQ(tokenizer->decode(tokenizer->encode(text, {.add_special_tokens = false}), false), text);
    }
  }
}

TEST(Encode, EveryTokenHasItsId) {
  for (const std::string& family : test::families()) {
    const auto tokenizer = test::load_family(family);
    for (TokenId id = 0; id < tokenizer->vocab_size(); ++id) {
      const auto token = tokenizer->id_to_token(id);
      ASSERT_TRUE(token.has_value()) << family << " " << id;
      ASSERT_EQ(tokenizer->token_to_id(*token), id) << family;
    }
  }
}

TEST(Encode, ThreadsShareOneTokenizer) {
  const auto tokenizer = test::load_family("llama3");
  const test::TextGenerator generator;
  constexpr int kTexts = 300;
  std::vector<std::vector<TokenId>> expected;
  for (int i = 0; i < kTexts; ++i) expected.push_back(tokenizer->encode(generator.text(6, i)));
  std::vector<std::thread> threads;
  std::vector<int> num_equal(4, 0);
  for (std::size_t t = 0; t < num_equal.size(); ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTexts; ++i) {
        const std::string text = generator.text(6, i);
        const std::vector<TokenId> ids = tokenizer->encode(text);
        num_equal[t] += ids == expected[i] && tokenizer->decode(ids, true) == text ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  int num_lossless = 0;  // texts with special tokens in them decode to less
  for (int i = 0; i < kTexts; ++i) num_lossless += tokenizer->decode(expected[i], true) == generator.text(6, i) ? 1 : 0;
  EXPECT_GT(num_lossless, kTexts / 2);
  for (const int count : num_equal) EXPECT_EQ(count, num_lossless);
}

}  // namespace
}  // namespace caudal
