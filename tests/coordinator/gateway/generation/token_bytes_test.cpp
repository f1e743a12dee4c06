// The bytes of tokens: exact, and found out once each.
#include "coordinator/gateway/generation/token_bytes.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/coordinator/gateway/byte_tokenizer.h"

namespace caudal {
namespace {

// Counts the detokenizers that are made of it: each asks for the decoder once.
class CountingTokenizer final : public Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view text, EncodeOptions options) const override {
    return bytes_.encode(text, options);
  }
  TokenId vocab_size() const override { return bytes_.vocab_size(); }
  std::optional<TokenId> token_to_id(std::string_view token) const override { return bytes_.token_to_id(token); }
  std::optional<std::string_view> id_to_token(TokenId id) const override { return bytes_.id_to_token(id); }
  bool is_special(TokenId id) const override { return bytes_.is_special(id); }
  const NamedTokens& named_tokens() const override { return bytes_.named_tokens(); }
  const DecoderSpec& decoder() const override {
    ++num_detokenizers;
    return bytes_.decoder();
  }

  mutable std::atomic<int> num_detokenizers = 0;

 private:
  ByteTokenizer bytes_;
};

TEST(TokenBytes, AreExact) {
  const ByteTokenizer tokenizer;
  const TokenBytes bytes(tokenizer);
  EXPECT_EQ(bytes.of('a'), "a");
  EXPECT_EQ(bytes.of(0xC3), "\xC3");
  EXPECT_EQ(token_name(bytes.of(0xC3)), "bytes:\\xc3");
  EXPECT_EQ(bytes.of(ByteTokenizer::kEnd), "<|end|>");
  EXPECT_EQ(bytes.of(ByteTokenizer::kVocabSize), "");
  EXPECT_EQ(bytes.of(-1), "");
}

// 21 entries per token of an answer are looked up; a detokenizer is made per token of the vocabulary at most.
TEST(TokenBytes, AreFoundOutOnce) {
  const CountingTokenizer tokenizer;
  const TokenBytes bytes(tokenizer);
  for (int i = 0; i < 1000; ++i) bytes.of('a' + i % 21);
  EXPECT_EQ(tokenizer.num_detokenizers, 21);
}

TEST(TokenBytes, ManyThreadsGetTheSameAnswer) {
  const CountingTokenizer tokenizer;
  const TokenBytes bytes(tokenizer);
  std::vector<std::thread> threads;
  std::vector<const std::string*> seen(4 * 256);
  for (std::size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::size_t id = 0; id < 256; ++id) seen[thread * 256 + id] = &bytes.of(static_cast<TokenId>(id));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], seen[i % 256]);
}

}  // namespace
}  // namespace caudal
