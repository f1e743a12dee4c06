// How often a conversation is copied on its way to the tokenizer, counted in allocations that can hold its text.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <new>

#include "common/json/strict_json.h"
#include "coordinator/gateway/api/chat_input.h"
#include "coordinator/gateway/api/openai_api.h"
#include "coordinator/gateway/chat/prompt_encoder.h"

namespace {

constexpr std::size_t kTextBytes = 1 << 20;
std::atomic<int> num_large = 0;

}  // namespace

void* operator new(std::size_t size) {
  if (size >= kTextBytes) ++num_large;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace caudal {
namespace {

// Has no tokens, so that only what happens before it is counted.
class NoTokenizer final : public Tokenizer {
 public:
  std::vector<TokenId> encode(std::string_view, EncodeOptions) const override { return {}; }
  TokenId vocab_size() const override { return 0; }
  std::optional<TokenId> token_to_id(std::string_view) const override { return std::nullopt; }
  std::optional<std::string_view> id_to_token(TokenId) const override { return std::nullopt; }
  bool is_special(TokenId) const override { return false; }
  const NamedTokens& named_tokens() const override { return named_; }
  const DecoderSpec& decoder() const override { return decoder_; }

 private:
  NamedTokens named_;
  DecoderSpec decoder_;
};

TEST(Copies, AConversationIsCopiedOnceIntoTheValuesOfItsTemplate) {
  const std::string text = R"({"messages":[{"role":"user","content":")" + std::string(kTextBytes, 'x') + R"("}]})";
  boost::json::value body = parse_strict_json(text).value();

  num_large = 0;
  Result<ApiRequest> request = parse_api_request(Endpoint::kChat, std::move(body), {1000, {}});
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(num_large, 0) << "it is moved out of the body";

  ModelContext model;
  model.tokenizer = std::make_shared<NoTokenizer>();
  model.chat_template = ChatTemplate::parse("{{ messages[0].content }}").value();
  const PromptEncoder encoder(model);
  num_large = 0;
  ASSERT_TRUE(encoder.encode_chat(std::move(*request.value().chat)).ok());
  EXPECT_EQ(num_large, 2) << "once as a value of the template, and the text that it prints";
}

}  // namespace
}  // namespace caudal
