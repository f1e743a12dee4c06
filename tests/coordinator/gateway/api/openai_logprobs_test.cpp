// What requests ask of log-probabilities, and what a server allows.
#include "coordinator/gateway/api/openai_logprobs.h"

#include <gtest/gtest.h>

#include "tests/coordinator/gateway/api/parse_request.h"

namespace caudal {
namespace {

TEST(OpenAiLogprobs, WhatAServerAllowsOfLogprobs) {
  const auto asked = [](const char* body, std::int32_t max_logprobs) {
    return parse_api_request(Endpoint::kCompletions, parse_strict_json(body).value(), {kVocab, {}, max_logprobs});
  };
  const char* all = R"({"prompt":"a","logprobs":-1,"prompt_logprobs":-1,"logprob_token_ids":[5,3,5]})";
  for (const std::int32_t allowed : {-1, kVocab, kVocab + 1}) {
    const auto request = asked(all, allowed);
    ASSERT_TRUE(request.ok());
    EXPECT_EQ(request.value().params.sampling.num_logprobs, kVocab);
    EXPECT_EQ(request.value().params.num_prompt_logprobs, kVocab);
    EXPECT_EQ(request.value().params.sampling.logprob_token_ids, (std::vector<TokenId>{3, 5}));
  }
  EXPECT_FALSE(asked(all, kVocab - 1).ok());
  EXPECT_FALSE(asked(R"({"prompt":"a","logprobs":1})", 0).ok());
  EXPECT_TRUE(asked(R"({"prompt":"a","logprobs":0})", 0).ok());
}

// What only echo asks for is told in `logprobs`, what is asked for by name in `prompt_logprobs`.
TEST(OpenAiLogprobs, WhatAsksForThePrompt) {
  const auto params = [](const char* body) {
    const auto request = parse_text(Endpoint::kCompletions, body);
    EXPECT_TRUE(request.ok()) << body;
    return std::pair(request.value().params.num_prompt_logprobs, request.value().tells_prompt_logprobs);
  };
  EXPECT_EQ(params(R"({"prompt":"a","echo":true,"logprobs":2})"), std::pair(2, false));
  EXPECT_EQ(params(R"({"prompt":"a","echo":true,"stream":true,"logprobs":0})"), std::pair(0, false));
  EXPECT_EQ(params(R"({"prompt":"a","echo":true})"), std::pair(-1, false));
  EXPECT_EQ(params(R"({"prompt":"a","logprobs":2})"), std::pair(-1, false));
  EXPECT_EQ(params(R"({"prompt":"a","prompt_logprobs":0,"max_tokens":0})"), std::pair(0, true));
  EXPECT_EQ(params(R"({"prompt":"a","prompt_logprobs":3,"echo":true,"logprobs":1})"), std::pair(3, true));
}

}  // namespace
}  // namespace caudal
