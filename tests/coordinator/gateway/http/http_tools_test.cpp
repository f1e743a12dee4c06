// Calls of tools and reasoning over HTTP, in front of a scripted engine whose model writes JSON in tags and <think>.
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "coordinator/gateway/tools/format/known_formats.h"
#include "tests/coordinator/gateway/gateway_fixture.h"
#include "tests/coordinator/gateway/http/http_answers.h"
#include "tests/coordinator/gateway/tools_fixture.h"

namespace caudal {
namespace {

constexpr const char* kTools =
    R"("tools":[{"type":"function","function":{"name":"now","parameters":{"type":"object","properties":{},)"
    R"("additionalProperties":false}}},{"type":"function","function":{"name":"look_up","parameters":)"
    R"({"type":"object","properties":{"word":{"type":"string"}},"required":["word"]}}}])";
constexpr const char* kTwoCalls =
    "<think>\nHm.\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"look_up\", \"arguments\": {\"word\": \"b\\u00e9\"}}\n"
    "</tool_call>\n<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";

class HttpTools : public ToolsFixture {
 protected:
  HttpAnswer chat(const std::string& members, const std::string& tools = kTools) {
    return ask(http_post("/v1/chat/completions", kChatBody + ("," + tools + members) + "}"));
  }
  json::value choice(const std::string& members) {
    const HttpAnswer answer = chat(members);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.status == 200 ? parsed(answer.body).at("choices").at(0) : json::value();
  }
  SamplingParams sampling() const { return service_.submitted().back().params.sampling; }
};

TEST_F(HttpTools, GivesCallsReasoningAndContent) {
  service_.set_script({.text = kTwoCalls});
  const json::value answer = choice("");
  EXPECT_EQ(answer.at("finish_reason").as_string(), "tool_calls");
  const json::value& message = answer.at("message");
  EXPECT_EQ(message.at("content").as_string(), "I look.");
  EXPECT_EQ(message.at("reasoning_content").as_string(), "Hm.");
  EXPECT_EQ(message.at("reasoning").as_string(), "Hm.");
  const json::array& calls = message.at("tool_calls").as_array();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].at("type").as_string(), "function");
  EXPECT_EQ(calls[0].at("function").at("name").as_string(), "look_up");
  EXPECT_EQ(parsed(std::string(calls[0].at("function").at("arguments").as_string())).at("word").as_string(),
            "b\xC3\xA9");
  EXPECT_EQ(calls[1].at("function").at("arguments").as_string(), "{}");
  EXPECT_NE(calls[0].at("id").as_string(), calls[1].at("id").as_string());
}

TEST_F(HttpTools, HasNoContentWhereThereIsNone) {
  service_.set_script({.text = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"});
  const json::value answer = choice("");
  EXPECT_TRUE(answer.at("message").at("content").is_null());
  EXPECT_FALSE(answer.at("message").as_object().contains("reasoning"));
}

TEST_F(HttpTools, StreamsTheSame) {
  service_.set_script({.text = kTwoCalls, .tokens_per_event = 3});
  const HttpAnswer answer = chat(R"(,"stream":true)");
  ASSERT_EQ(answer.status, 200) << answer.body;
  std::string content, reasoning, finish;
  std::vector<std::string> names, arguments, ids;
  for (const json::value& event : events_of(answer.body)) {
    if (event.is_string()) break;
    const json::value& choice = event.at("choices").at(0);
    if (choice.at("finish_reason").is_string()) finish = std::string(choice.at("finish_reason").as_string());
    const json::object& delta = choice.at("delta").as_object();
    if (const json::value* text = delta.if_contains("content")) content += text->as_string();
    if (const json::value* text = delta.if_contains("reasoning_content")) reasoning += text->as_string();
    if (!delta.contains("tool_calls")) continue;
    const json::object& call = delta.at("tool_calls").at(0).as_object();
    const auto index = static_cast<std::size_t>(call.at("index").as_int64());
    if (call.contains("id")) {
      ASSERT_EQ(index, names.size());
      ids.emplace_back(call.at("id").as_string());
      names.emplace_back(call.at("function").at("name").as_string());
      arguments.emplace_back();
    }
    ASSERT_LT(index, arguments.size());
    arguments[index] += call.at("function").at("arguments").as_string();
  }
  EXPECT_EQ(content, "I look.");
  EXPECT_EQ(reasoning, "Hm.");
  EXPECT_EQ(finish, "tool_calls");
  EXPECT_EQ(names, (std::vector<std::string>{"look_up", "now"}));
  EXPECT_EQ(arguments, (std::vector<std::string>{"{\"word\": \"b\\u00e9\"}", "{}"}));
  EXPECT_EQ(ids.size(), 2U);
}

TEST_F(HttpTools, HidesReasoningThatIsNotWanted) {
  service_.set_script({.text = "<think>Hm.</think>Yes."});
  const json::value answer = choice(R"(,"include_reasoning":false)");
  EXPECT_EQ(answer.at("message").at("content").as_string(), "Yes.");
  EXPECT_FALSE(answer.at("message").as_object().contains("reasoning_content"));
}

TEST_F(HttpTools, LooksForStopStringsInContentAlone) {
  service_.set_script({.text = "<think>No STOP here.</think>Go. STOP it."});
  const json::value answer = choice(R"(,"stop":"STOP")");
  EXPECT_EQ(answer.at("message").at("content").as_string(), "Go. ");
  EXPECT_EQ(answer.at("message").at("reasoning").as_string(), "No STOP here.");
  EXPECT_EQ(answer.at("stop_reason").as_string(), "STOP");
}

TEST_F(HttpTools, GivesOneCallWhereOnlyOneIsWanted) {
  service_.set_script({.text = kTwoCalls});
  const json::value answer = choice(R"(,"parallel_tool_calls":false)");
  EXPECT_EQ(answer.at("message").at("tool_calls").as_array().size(), 1U);
  EXPECT_EQ(answer.at("finish_reason").as_string(), "tool_calls");
}

TEST_F(HttpTools, GivesCallsThatAreCutOffAsText) {
  service_.set_script({.text = "<tool_call>\n{\"name\": \"now\", \"argu", .finish = FinishReason::kLength});
  const json::value answer = choice("");
  EXPECT_EQ(answer.at("finish_reason").as_string(), "length");
  EXPECT_EQ(answer.at("message").at("content").as_string(), "<tool_call>\n{\"name\": \"now\", \"argu");
  EXPECT_FALSE(answer.at("message").as_object().contains("tool_calls"));
}

TEST_F(HttpTools, HoldsCallsToAGrammarWhereTheyMustBeRight) {
  service_.set_script({.text = "Yes."});
  choice("");
  EXPECT_EQ(sampling().grammar.kind, GrammarKind::kNone);
  choice(R"(,"tool_choice":"required")");
  EXPECT_EQ(sampling().grammar.kind, GrammarKind::kTags);
  choice(R"(,"tool_choice":{"type":"function","function":{"name":"now"}})");
  EXPECT_EQ(sampling().grammar.kind, GrammarKind::kTags);
  EXPECT_EQ(sampling().grammar.text.find("look_up"), std::string::npos);
  choice(R"(,"response_format":{"type":"json_object"})");
  EXPECT_EQ(sampling().grammar.kind, GrammarKind::kTags);
  const HttpAnswer both = chat(R"(,"tool_choice":"required","response_format":{"type":"json_object"})");
  EXPECT_EQ(both.status, 400);
  EXPECT_EQ(parsed(both.body).at("error").at("param").as_string(), "tool_choice");
  const std::string strict =
      R"("tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object","$ref":"x:y"}}}])";
  const HttpAnswer unknown = chat("", strict);
  EXPECT_EQ(unknown.status, 400) << unknown.body;
  EXPECT_EQ(parsed(unknown.body).at("error").at("param").as_string(), "tools[0].function.parameters");
  EXPECT_NE(unknown.body.find("/$ref"), std::string::npos) << unknown.body;
}

TEST_F(HttpTools, SearchesWithBeamsOnlyWhatIsFree) {
  service_.set_script({.text = "Yes."});
  choice(R"(,"use_beam_search":true)");
  for (const auto& [members, field] : {std::pair(R"(,"tool_choice":"required")", "use_beam_search"),
                                       std::pair(R"(,"thinking_token_budget":1)", "thinking_token_budget")}) {
    const HttpAnswer answer = chat(members + std::string(R"(,"use_beam_search":true)"));
    EXPECT_EQ(answer.status, 400) << members;
    EXPECT_EQ(parsed(answer.body).at("error").at("param").as_string(), field);
  }
}

TEST_F(HttpTools, LimitsReasoning) {
  service_.set_script({.text = "Yes."});
  choice(R"(,"thinking_token_budget":5)");
  EXPECT_EQ(sampling().thinking.budget, 5);
  EXPECT_EQ(sampling().thinking.begin.size(), std::string("<think>").size());  // a token per byte
  EXPECT_EQ(sampling().thinking.end.size(), std::string("</think>").size());
}

TEST_F(HttpTools, TakesCallsAndResultsBack) {
  service_.set_script({.text = "Done."});
  const std::string history =
      R"({"model":"byte-model","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":null,)"
      R"("reasoning":"Hm.","tool_calls":[{"id":"call_1","type":"function","function":{"name":"now","arguments":"{}"}}]},)"
      R"({"role":"tool","tool_call_id":"call_1","content":"noon"}],)";
  const HttpAnswer answer = ask(http_post("/v1/chat/completions", history + kTools + "}"));
  ASSERT_EQ(answer.status, 200) << answer.body;
  std::string prompt;
  const std::vector<TokenId> tokens = service_.submitted().back().prompt;
  for (const TokenId token : tokens) {
    if (token < 256) prompt += static_cast<char>(token);
  }
  EXPECT_NE(prompt.find("<think>\nHm.\n</think>"), std::string::npos) << prompt;
  EXPECT_NE(prompt.find("{\"name\": \"now\", \"arguments\": {}}"), std::string::npos) << prompt;
}

// A model whose template knows no tools is told of them.
class HttpUntold : public GatewayFixture {
 protected:
  ModelContext model() const override {
    ModelContext model = byte_model();
    model.output_format = model.chat_template->output_format();
    model.output_format.tools = known_tool_format("hermes");
    return model;
  }
};

TEST_F(HttpUntold, TellsOfToolsInWords) {
  service_.set_script({.text = "<tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>"});
  const HttpAnswer answer = ask(http_post("/v1/chat/completions", kChatBody + ("," + std::string(kTools)) + "}"));
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(parsed(answer.body).at("choices").at(0).at("message").at("tool_calls").as_array().size(), 1U);
  std::string prompt;
  const std::vector<TokenId> tokens = service_.submitted().back().prompt;
  for (const TokenId token : tokens) {
    if (token < 256) prompt += static_cast<char>(token);
  }
  EXPECT_NE(prompt.find("look_up"), std::string::npos) << prompt;
}

// A history with calls, and no tools any more.
TEST_F(HttpUntold, RetellsWhatWasCalled) {
  const HttpAnswer answer = ask(http_post(
      "/v1/chat/completions",
      R"({"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":)"
      R"("function","function":{"name":"now","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"noon"}]})"));
  ASSERT_EQ(answer.status, 200) << answer.body;
  std::string prompt;
  const std::vector<TokenId> tokens = service_.submitted().back().prompt;
  for (const TokenId token : tokens) {
    if (token < 256) prompt += static_cast<char>(token);
  }
  EXPECT_NE(prompt.find("<tool_response>\nnoon"), std::string::npos) << prompt;
  EXPECT_NE(prompt.find("\"now\""), std::string::npos) << prompt;
  EXPECT_EQ(prompt.find("You can call"), std::string::npos) << prompt;
}

}  // namespace
}  // namespace caudal
