// Anthropic's Messages API over HTTP, in front of a scripted engine whose model writes JSON in tags and <think>.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <sstream>

#include "coordinator/gateway/tools/format/known_formats.h"
#include "tests/coordinator/gateway/gateway_fixture.h"
#include "tests/coordinator/gateway/http/http_answers.h"
#include "tests/coordinator/gateway/tools_fixture.h"

namespace caudal {
namespace {

constexpr const char* kTool =
    R"("tools":[{"name":"look_up","input_schema":{"type":"object","properties":{"word":{"type":"string"}}}}],)";
constexpr const char* kThinkAndCall =
    "<think>\nHm.\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"look_up\", \"arguments\": {\"word\": \"bee\"}}\n"
    "</tool_call>";

class HttpMessages : public ToolsFixture {
 protected:
  HttpAnswer message(const std::string& members) {
    return ask(
        http_post("/v1/messages", "{" + members + R"("max_tokens":500,"messages":[{"role":"user","content":"a"}]})"));
  }
  json::value told(const std::string& members) {
    const HttpAnswer answer = message(members);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.status == 200 ? parsed(answer.body) : json::value();
  }
};

// Each `event:` has the type of its data.
std::vector<json::value> read_events(const std::string& body) {
  std::vector<json::value> events;
  std::istringstream lines(body);
  std::string name;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("event: ")) name = line.substr(7);
    if (!line.starts_with("data: ")) continue;
    events.push_back(json::parse(line.substr(6)));
    EXPECT_EQ(events.back().at("type").as_string(), name);
  }
  return events;
}

TEST_F(HttpMessages, AnswersWithText) {
  const json::value answer = told("");
  EXPECT_EQ(answer.at("type").as_string(), "message");
  EXPECT_EQ(answer.at("role").as_string(), "assistant");
  EXPECT_TRUE(answer.at("id").as_string().starts_with("msg_"));
  EXPECT_EQ(answer.at("content"), json::parse(R"([{"type":"text","text":"Hello, world"}])"));
  EXPECT_EQ(answer.at("stop_reason").as_string(), "end_turn");
  EXPECT_TRUE(answer.at("stop_sequence").is_null());
  EXPECT_GT(answer.at("usage").at("input_tokens").as_int64(), 1);
  EXPECT_EQ(answer.at("usage").at("output_tokens"), 13);
}

TEST_F(HttpMessages, SaysWhyItStopped) {
  EXPECT_EQ(told(R"("stop_sequences":[", w"],)").at("stop_reason").as_string(), "stop_sequence");
  EXPECT_EQ(told(R"("stop_sequences":[", w"],)").at("stop_sequence").as_string(), ", w");
  service_.set_script({.text = kThinkAndCall});
  const json::value called = told(std::string(kTool) + R"("thinking":{"type":"enabled","budget_tokens":100},)");
  EXPECT_EQ(called.at("stop_reason").as_string(), "tool_use");
  ASSERT_EQ(called.at("content").as_array().size(), 3U);
  EXPECT_EQ(called.at("content").at(0).at("thinking").as_string(), "Hm.");
  EXPECT_EQ(called.at("content").at(1).at("text").as_string(), "I look.");
  EXPECT_EQ(called.at("content").at(2).at("input"), json::parse(R"({"word":"bee"})"));
  EXPECT_EQ(told(kTool).at("content").at(0).at("type").as_string(), "text") << "thinking that nobody asked for";
}

TEST_F(HttpMessages, StreamsItsEvents) {
  service_.set_script({.text = kThinkAndCall, .tokens_per_event = 3});
  const HttpAnswer answer =
      message(std::string(kTool) + R"("stream":true,"thinking":{"type":"enabled","budget_tokens":100},)");
  ASSERT_EQ(answer.status, 200) << answer.body;
  std::vector<std::string> blocks, parts;
  std::int64_t open = -1, last = -1;
  const std::vector<json::value> events = read_events(answer.body);
  EXPECT_EQ(events.front().at("type").as_string(), "message_start");
  EXPECT_EQ(events.back().at("type").as_string(), "message_stop");
  for (const json::value& event : events) {
    const std::string type(event.at("type").as_string());
    if (type == "content_block_start") {
      EXPECT_EQ(open, -1) << "two blocks are open";
      open = event.at("index").as_int64();
      EXPECT_EQ(open, ++last);
      blocks.emplace_back(event.at("content_block").at("type").as_string());
      parts.emplace_back();
    } else if (type == "content_block_delta") {
      EXPECT_EQ(event.at("index").as_int64(), open);
      for (const char* member : {"text", "thinking", "partial_json"}) {
        if (const json::value* text = event.at("delta").as_object().if_contains(member))
          parts.back() += text->as_string();
      }
    } else if (type == "content_block_stop") {
      EXPECT_EQ(event.at("index").as_int64(), std::exchange(open, -1));
    } else if (type == "message_delta") {
      EXPECT_EQ(event.at("delta").at("stop_reason").as_string(), "tool_use");
      EXPECT_GT(event.at("usage").at("output_tokens").as_int64(), 10);
    }
  }
  EXPECT_EQ(open, -1);
  EXPECT_EQ(blocks, (std::vector<std::string>{"thinking", "text", "tool_use"}));
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[0], "Hm.");
  EXPECT_EQ(parts[1], "I look.");
  EXPECT_EQ(json::parse(parts[2]), json::parse(R"({"word":"bee"})"));
}

// A client that runs tools must not run half of what was meant.
TEST_F(HttpMessages, WhatIsCutOffSaysSo) {
  service_.set_script({.text = kThinkAndCall, .finish = FinishReason::kLength});
  EXPECT_EQ(told(kTool).at("stop_reason").as_string(), "max_tokens");
}

TEST_F(HttpMessages, AStreamThatFailsHasNoEnd) {
  service_.set_script({.pause = std::chrono::milliseconds(2), .finish = FinishReason::kError});
  const HttpAnswer answer = message(R"("stream":true,)");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const std::vector<json::value> events = read_events(answer.body);
  EXPECT_EQ(events.front().at("type").as_string(), "message_start");
  EXPECT_EQ(events.back().at("type").as_string(), "error");
  EXPECT_EQ(events.back().at("error").at("type").as_string(), "api_error");
  for (const json::value& event : events) EXPECT_NE(event.at("type").as_string(), "message_stop");
}

TEST_F(HttpMessages, RefusesInItsOwnWords) {
  const HttpAnswer answer = message(R"("temperature":1000,)");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(parsed(answer.body).at("type").as_string(), "error");
  EXPECT_EQ(parsed(answer.body).at("error").at("type").as_string(), "invalid_request_error");
  EXPECT_NE(answer.body.find("temperature"), std::string::npos);
  EXPECT_EQ(parsed(message(R"("model":"other",)").body).at("error").at("type").as_string(), "not_found_error");
}

TEST_F(HttpMessages, CountsTokens) {
  const std::string body = R"({"messages":[{"role":"user","content":"abc"}]})";
  const auto count = [&](const std::string& text) {
    const HttpAnswer answer = ask(http_post("/v1/messages/count_tokens", text));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return parsed(answer.body).at("input_tokens").as_int64();
  };
  const std::int64_t n = count(body);
  EXPECT_GT(n, 3);
  EXPECT_EQ(count(R"({"messages":[{"role":"user","content":"abcde"}]})"), n + 2);
}

}  // namespace
}  // namespace caudal
