// Ids and decoded texts equal those of the Python package `tokenizers` on 100,000 generated strings per
// tokenizer: every plane, mixed scripts, long runs, control characters, pieces of special tokens.
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <fstream>
#include <iterator>

#include "common/tokenizer/tokenizer.h"
#include "tests/common/tokenizer/generated_text.h"
#include "tests/sanitized.h"

namespace caudal {
namespace {

using test::SequenceHash;

void add_ids(SequenceHash& hash, const std::vector<TokenId>& ids) {
  for (const TokenId id : ids) hash.add(static_cast<std::uint32_t>(id));
  hash.end_sequence();
}

void add_text(SequenceHash& hash, const std::string& text) {
  for (const char byte : text) hash.add(static_cast<std::uint8_t>(byte));
  hash.end_sequence();
}

class Parity : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    tokenizer_ = test::load_family(GetParam());
    std::ifstream file(test::family_dir(GetParam()) / "expected.json");
    const std::string json((std::istreambuf_iterator<char>(file)), {});
    expected_ = boost::json::parse(json);
    chunk_ = number("chunk");
  }

  std::uint64_t number(const char* key) const { return static_cast<std::uint64_t>(expected_.at(key).as_int64()); }

  // Checks the hash of one chunk against entry `chunk` of the list `key`.
  void expect_hash(const char* key, std::uint64_t chunk, const SequenceHash& hash) const {
    EXPECT_EQ(hash.hex(), std::string(expected_.at(key).as_array().at(chunk).as_string()))
        << key << ": one of the " << chunk_ << " strings from " << chunk * chunk_ << " on differs";
  }

  std::uint64_t num_chunks(const char* key) const { return expected_.at(key).as_array().size(); }
  std::uint64_t num_checked(const char* key) const {
    return test::kSanitized ? (num_chunks(key) + 49) / 50 : num_chunks(key);
  }

  // Even strings are encoded with special tokens around them, odd ones without.
  std::vector<TokenId> encode(std::uint64_t index) const {
    return tokenizer_->encode(generator_.text(number("text_seed"), index), {.add_special_tokens = index % 2 == 0});
  }

  test::TextGenerator generator_;
  std::unique_ptr<Tokenizer> tokenizer_;
  boost::json::value expected_;
  std::uint64_t chunk_ = 0;
};

TEST_P(Parity, Examples) {
  std::uint64_t index = 0;
  for (const auto& example : expected_.at("examples").as_array()) {
    const std::string text(example.at("text").as_string());
    std::vector<TokenId> ids;
    for (const auto& id : example.at("ids").as_array()) ids.push_back(static_cast<TokenId>(id.as_int64()));
    while (generator_.text(number("text_seed"), index) != text) ASSERT_LT(++index, 1000U) << "the generators differ";
    EXPECT_EQ(encode(index), ids) << example;
    EXPECT_EQ(tokenizer_->decode(ids, true), std::string(example.at("decoded").as_string())) << example;
    ++index;
  }
}

TEST_P(Parity, Texts) {
  EXPECT_EQ(static_cast<std::uint64_t>(tokenizer_->vocab_size()), number("vocab_size"));
  ASSERT_EQ(num_chunks("encode") * chunk_, 100'000U);
  for (std::uint64_t chunk = 0; chunk < num_checked("encode"); ++chunk) {
    SequenceHash encoded;
    SequenceHash decoded;
    SequenceHash decoded_skip;
    for (std::uint64_t i = chunk * chunk_; i < (chunk + 1) * chunk_; ++i) {
      const std::vector<TokenId> ids = encode(i);
      add_ids(encoded, ids);
      add_text(decoded, tokenizer_->decode(ids, false));
      add_text(decoded_skip, tokenizer_->decode(ids, true));
    }
    expect_hash("encode", chunk, encoded);
    expect_hash("decode", chunk, decoded);
    expect_hash("decode_skip", chunk, decoded_skip);
    if (HasFailure()) return;
  }
}

TEST_P(Parity, SpecialTokensAsText) {
  for (std::uint64_t chunk = 0; chunk < num_checked("encode_raw"); ++chunk) {
    SequenceHash hash;
    for (std::uint64_t i = chunk * chunk_; i < (chunk + 1) * chunk_; ++i) {
      const std::string text = generator_.text(number("text_seed"), i);
      add_ids(hash, tokenizer_->encode(text, {.add_special_tokens = false, .parse_special = false}));
    }
    expect_hash("encode_raw", chunk, hash);
    if (HasFailure()) return;
  }
}

TEST_P(Parity, RandomIds) {
  for (std::uint64_t chunk = 0; chunk < num_checked("decode_random"); ++chunk) {
    SequenceHash decoded;
    SequenceHash decoded_skip;
    for (std::uint64_t i = chunk * chunk_; i < (chunk + 1) * chunk_; ++i) {
      const std::vector<TokenId> ids = test::random_ids(number("ids_seed"), i, number("vocab_size"));
      add_text(decoded, tokenizer_->decode(ids, false));
      add_text(decoded_skip, tokenizer_->decode(ids, true));
    }
    expect_hash("decode_random", chunk, decoded);
    expect_hash("decode_random_skip", chunk, decoded_skip);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Parity, testing::ValuesIn(test::families()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace caudal
