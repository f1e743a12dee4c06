// Bodies of Anthropic's Messages API in the words of the chat endpoint.
#include "coordinator/gateway/api/anthropic_messages.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace caudal {
namespace {

namespace json = boost::json;

json::value chat(const std::string& fields) {
  auto body = chat_body_of_messages(json::parse(R"({"max_tokens":5,)" + fields + "}"));
  EXPECT_TRUE(body) << fields << ": " << body.error().field << " " << body.error().message;
  return body ? std::move(body).value() : json::value();
}

json::value messages(const std::string& list) { return chat(R"("messages":)" + list).at("messages"); }

std::string refused_field(const std::string& body) {
  const auto chat = chat_body_of_messages(json::parse(body));
  EXPECT_FALSE(chat) << body;
  return chat ? "" : chat.error().field;
}

TEST(AnthropicMessages, BlocksBecomeMessages) {
  EXPECT_EQ(messages(R"([{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"}]},
                         {"role":"user","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]}])"),
            json::parse(R"([{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":"b"},
                            {"role":"user","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]}])"));
  EXPECT_EQ(messages(R"([{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}])"),
            json::parse(R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])"))
      << "roles alternate";
  EXPECT_EQ(messages(R"([{"role":"user","content":"w?"},
    {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"x"},{"type":"redacted_thinking","data":"y"},
      {"type":"text","text":"I look."},{"type":"tool_use","id":"t1","name":"find","input":{"q":1}}]},
    {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"sun"}]},
      {"type":"tool_result","tool_use_id":"t2","is_error":true},{"type":"text","text":"And?"}]}])"),
            json::parse(R"([{"role":"user","content":[{"type":"text","text":"w?"}]},
    {"role":"assistant","content":"I look.","reasoning_content":"hm",
     "tool_calls":[{"id":"t1","type":"function","function":{"name":"find","arguments":{"q":1}}}]},
    {"role":"tool","tool_call_id":"t1","content":"sun"},{"role":"tool","tool_call_id":"t2","content":"Error: "},
    {"role":"user","content":[{"type":"text","text":"And?"}]}])"));
}

TEST(AnthropicMessages, TheSystemSpeaksFirst) {
  const std::string user = R"("messages":[{"role":"user","content":"a"}])";
  EXPECT_EQ(chat(user + R"(,"system":"Be kind.")").at("messages").at(0).at("content"), "Be kind.");
  EXPECT_EQ(chat(user + R"(,"system":[{"type":"text","text":"x"},{"type":"text","text":"y","cache_control":{}}])")
                .at("messages")
                .at(0)
                .at("content"),
            "x\ny");
}

TEST(AnthropicMessages, TheAnswerGoesOnFromTheLastMessage) {
  const json::value body =
      chat(R"("messages":[{"role":"user","content":"a"},{"role":"assistant","content":"The answer is"}])");
  EXPECT_EQ(body.at("continue_final_message"), true);
  EXPECT_EQ(body.at("add_generation_prompt"), false);
}

TEST(AnthropicMessages, ToolsAndChoices) {
  const std::string user =
      R"("messages":[{"role":"user","content":"a"}],"tools":[{"name":"f","description":"d","input_schema":)"
      R"({"type":"object"}}])";
  EXPECT_EQ(
      chat(user).at("tools"),
      json::parse(R"([{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}])"));
  EXPECT_FALSE(chat(user).as_object().contains("tool_choice"));
  EXPECT_EQ(chat(user + R"(,"tool_choice":{"type":"any","disable_parallel_tool_use":true})").at("tool_choice"),
            "required");
  EXPECT_EQ(chat(user + R"(,"tool_choice":{"type":"any","disable_parallel_tool_use":true})").at("parallel_tool_calls"),
            false);
  EXPECT_EQ(chat(user + R"(,"tool_choice":{"type":"tool","name":"f"})").at("tool_choice").at("function").at("name"),
            "f");
  EXPECT_EQ(chat(user + R"(,"tool_choice":{"type":"none"})").at("tool_choice"), "none");
}

TEST(AnthropicMessages, ThinkingIsAskedFor) {
  const std::string user = R"("messages":[{"role":"user","content":"a"}])";
  EXPECT_EQ(chat(user).at("enable_thinking"), false);
  const json::value thinks = chat(user + R"(,"thinking":{"type":"enabled","budget_tokens":1024})");
  EXPECT_EQ(thinks.at("enable_thinking"), true);
  EXPECT_EQ(thinks.at("include_reasoning"), true);
  EXPECT_EQ(thinks.at("thinking_token_budget"), 1024);
  EXPECT_EQ(chat(user + R"(,"thinking":{"type":"disabled"})").at("enable_thinking"), false);
}

TEST(AnthropicMessages, OtherFields) {
  const json::value body = chat(R"("messages":[{"role":"user","content":"a"}],"stop_sequences":["x"],"top_k":5,
    "metadata":{"user_id":"u"},"model":"m","stream":true,"output_format":{"type":"json_schema","schema":{"type":"object"}})");
  EXPECT_EQ(body.at("stop"), json::parse(R"(["x"])"));
  EXPECT_EQ(body.at("top_k"), 5);
  EXPECT_EQ(body.at("model"), "m");
  EXPECT_EQ(body.at("stream"), true);
  EXPECT_FALSE(body.as_object().contains("metadata"));
  EXPECT_EQ(body.at("response_format").at("json_schema").at("schema"), json::parse(R"({"type":"object"})"));
}

TEST(AnthropicMessages, IsRefusedByName) {
  EXPECT_EQ(refused_field(R"({"messages":[{"role":"user","content":"a"}]})"), "max_tokens");
  EXPECT_EQ(refused_field(R"({"max_tokens":1})"), "messages");
  EXPECT_EQ(refused_field(R"({"max_tokens":1,"messages":[]})"), "messages");
  EXPECT_EQ(refused_field(R"({"max_tokens":1,"messages":[{"role":"system","content":"a"}]})"), "messages[0].role");
  EXPECT_EQ(refused_field(R"({"max_tokens":1,"messages":[{"role":"user","content":[]}]})"), "messages[0].content");
  EXPECT_EQ(refused_field(R"({"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}]})"),
            "messages[0].content[0].type");
  EXPECT_EQ(
      refused_field(R"({"max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","name":"f"}]}]})"),
      "messages[0].content[0].input");
  const std::string user = R"({"max_tokens":1,"messages":[{"role":"user","content":"a"}],)";
  EXPECT_EQ(refused_field(user + R"("tools":[{"name":"f"}]})"), "tools[0].input_schema");
  EXPECT_EQ(refused_field(user + R"("tools":[{"type":"bash_20250124","name":"bash"}]})"), "tools[0].type");
  EXPECT_EQ(refused_field(user + R"("tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"x"}})"),
            "tool_choice.type");
  EXPECT_EQ(refused_field(user + R"("thinking":{"type":"enabled"}})"), "thinking.budget_tokens");
  EXPECT_EQ(refused_field(user + R"("tool_choice":{"type":"any"}})"), "tool_choice");
  EXPECT_EQ(refused_field(user + R"("n":2})"), "n");
  EXPECT_EQ(refused_field(user + R"("mcp_servers":[]})"), "mcp_servers");
}

}  // namespace
}  // namespace caudal
