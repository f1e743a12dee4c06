// What evaluators ask for, at both doors: log-probabilities of prompts, of named tokens, token ids. The scripted engine
// gives token i of a prompt the log-probability -i, and the most likely ones, "a" and "b", -0.25 and -0.5.
#include "tests/coordinator/gateway/gateway_fixture.h"
#include "tests/coordinator/gateway/http/http_answers.h"

namespace caudal {
namespace {

using EvaluationTest = GatewayFixture;

json::value first_choice(const HttpAnswer& answer) {
  EXPECT_EQ(answer.status, 200) << answer.body;
  return parsed(answer.body).at("choices").at(0);
}

constexpr const char* kEchoed = R"({"tokens":["x","y","a"],"token_logprobs":[null,-1,-2],
    "top_logprobs":[null,{"y":-1,"a":-0.25},{"a":-2}],"text_offset":[0,1,2]})";

// As lm-eval asks: the prompt's tokens first, the first of them without a number.
TEST_F(EvaluationTest, EchoWithLogprobsTellsThePrompt) {
  const json::value choice =
      first_choice(complete(R"({"prompt":[120,121,97],"echo":true,"logprobs":1,"max_tokens":0})"));
  EXPECT_EQ(choice.at("text").as_string(), "xya");
  EXPECT_EQ(choice.at("finish_reason").as_string(), "length");
  EXPECT_EQ(choice.at("logprobs"), json::parse(kEchoed));
  EXPECT_TRUE(choice.at("prompt_logprobs").is_null());
  const HttpAnswer longer = complete(R"({"prompt":[120,121,97],"echo":true,"logprobs":1,"max_tokens":1})");
  const json::value one = first_choice(longer);
  EXPECT_EQ(one.at("text").as_string(), "xyaH");
  EXPECT_EQ(one.at("logprobs").at("tokens"), json::parse(R"(["x","y","a","H"])"));
  EXPECT_EQ(one.at("logprobs").at("token_logprobs"), json::parse("[null,-1,-2,-0.5]"));
  EXPECT_EQ(parsed(longer.body).at("usage").at("completion_tokens").as_int64(), 1);
  EXPECT_EQ(service_.submitted().front().params.stop.max_tokens, 1) << "a worker cannot generate nothing";
}

TEST_F(EvaluationTest, AStreamOpensWithThePrompt) {
  const HttpAnswer answer =
      complete(R"({"prompt":[120,121,97],"echo":true,"logprobs":1,"max_tokens":2,"n":2,"stream":true})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  std::map<std::int64_t, std::string> texts;
  std::map<std::int64_t, std::size_t> num_tokens;
  for (const json::value& event : events_of(answer.body)) {
    if (event.is_string()) continue;
    const json::value& choice = event.at("choices").at(0);
    const std::int64_t index = choice.at("index").as_int64();
    if (texts[index].empty()) {
      EXPECT_EQ(choice.at("text").as_string(), "xyaH");
      EXPECT_TRUE(choice.at("logprobs").at("token_logprobs").at(0).is_null());
    }
    texts[index] += choice.at("text").as_string();
    if (choice.at("logprobs").is_object()) num_tokens[index] += choice.at("logprobs").at("tokens").as_array().size();
  }
  for (const std::int64_t index : {0, 1}) {
    EXPECT_EQ(texts[index], "xyaHe");
    EXPECT_EQ(num_tokens[index], 5U);
  }
}

TEST_F(EvaluationTest, PromptLogprobsAsVllmWritesThem) {
  const json::value expected = json::parse(R"([null,
      {"121":{"logprob":-1,"rank":null,"decoded_token":"y"},"97":{"logprob":-0.25,"rank":1,"decoded_token":"a"},
       "98":{"logprob":-0.5,"rank":2,"decoded_token":"b"}},
      {"97":{"logprob":-2,"rank":1,"decoded_token":"a"},"98":{"logprob":-0.5,"rank":2,"decoded_token":"b"}}])");
  const json::value choice =
      first_choice(complete(R"({"prompt":[120,121,97],"prompt_logprobs":2,"max_tokens":1,"return_token_ids":true})"));
  EXPECT_EQ(choice.at("prompt_logprobs"), expected);
  EXPECT_TRUE(choice.at("logprobs").is_null());
  EXPECT_EQ(choice.at("prompt_token_ids"), json::parse("[120,121,97]"));
  EXPECT_EQ(choice.at("token_ids"), json::parse("[72]"));
  const HttpAnswer chat =
      ask(http_post("/v1/chat/completions", std::string(kChatBody) + R"(,"prompt_logprobs":0,"max_tokens":0})"));
  const json::value body = parsed(chat.body);
  const std::size_t num_tokens = body.at("usage").at("prompt_tokens").to_number<std::size_t>();
  EXPECT_EQ(body.at("prompt_logprobs").as_array().size(), num_tokens);
  EXPECT_EQ(body.at("prompt_logprobs").at(1).as_object().size(), 1U);
  EXPECT_EQ(body.at("choices").at(0).at("message").at("content").as_string(), "");
  EXPECT_EQ(body.at("usage").at("completion_tokens").as_int64(), 0);
  EXPECT_FALSE(body.as_object().contains("prompt_token_ids"));
}

TEST_F(EvaluationTest, NamedTokensAndIdsForNames) {
  const json::value choice = first_choice(complete(
      R"({"prompt":"a","logprobs":1,"logprob_token_ids":[7,9],"return_tokens_as_token_ids":true,"max_tokens":1})"));
  EXPECT_EQ(choice.at("logprobs").at("tokens").at(0).as_string(), "token_id:72");
  EXPECT_EQ(choice.at("logprobs").at("top_logprobs").at(0),
            json::parse(R"({"token_id:72":-0.5,"token_id:97":-1,"token_id:7":-9,"token_id:9":-9})"));
}

TEST_F(EvaluationTest, TokensWithoutText) {
  const json::value choice =
      first_choice(complete(R"({"prompt":"a","detokenize":false,"return_token_ids":true,"max_tokens":3})"));
  EXPECT_EQ(choice.at("text").as_string(), "");
  EXPECT_EQ(choice.at("token_ids"), json::parse("[72,101,108]"));
  const HttpAnswer stream = ask(http_post(
      "/v1/chat/completions", std::string(kChatBody) + R"(,"stream":true,"return_token_ids":true,"max_tokens":3})"));
  const std::vector<json::value> events = events_of(stream.body);
  EXPECT_TRUE(events.front().as_object().contains("prompt_token_ids"));
  json::array ids;
  for (std::size_t i = 1; i + 1 < events.size(); ++i) {
    const json::object& streamed = events[i].at("choices").at(0).as_object();
    EXPECT_FALSE(events[i].as_object().contains("prompt_token_ids"));
    if (!streamed.contains("token_ids")) continue;
    for (const json::value& id : streamed.at("token_ids").as_array()) ids.push_back(id);
  }
  EXPECT_EQ(json::value(ids), json::parse("[72,101,108]"));
}

TEST_F(EvaluationTest, TheServerSaysHowMany) {
  EXPECT_EQ(complete(R"({"prompt":"a","logprobs":-1})").status, 400);
  GatewayConfig config = test_config();
  config.max_logprobs = -1;
  start(config);
  EXPECT_EQ(complete(R"({"prompt":"a","logprobs":-1,"max_tokens":1})").status, 200);
  EXPECT_EQ(service_.submitted().back().params.sampling.num_logprobs, ByteTokenizer::kVocabSize);
}

}  // namespace
}  // namespace caudal
