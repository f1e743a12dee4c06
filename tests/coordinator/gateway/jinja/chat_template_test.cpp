#include "coordinator/gateway/chat/chat_template.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <fstream>
#include <thread>
#include <vector>

namespace caudal {
namespace {

namespace json = boost::json;

json::array conversation() { return json::parse(R"([{"role": "user", "content": "hi"}])").as_array(); }

Result<std::string> rendered(const std::string& source, const ChatTemplateInput& input) {
  Result<ChatTemplate> parsed = ChatTemplate::parse(source);
  if (!parsed.ok()) return parsed.error();
  return parsed.value().render(input);
}

TEST(ChatTemplate, GivesTheVariablesOfTransformers) {
  const json::array messages = conversation();
  const json::object variables = {{"style", "short"}, {"messages", 1}, {"bos_token", "no"}, {"tokenize", true}};
  ChatTemplateInput input;
  input.messages = &messages;
  input.variables = &variables;
  input.bos_token = "<s>";
  input.now = std::chrono::system_clock::from_time_t(0);
  const auto text = rendered(
      "{{ bos_token }}{{ messages[0].content }} {{ style }} {{ tools is none }} {{ documents }} "
      "{{ eos_token is defined }} {{ add_generation_prompt }} {{ strftime_now('%Y-%m-%d') }}",
      input);
  ASSERT_TRUE(text.ok()) << text.error().message;
  EXPECT_EQ(text.value(), "<s>hi short True None False True 1970-01-01");
}

TEST(ChatTemplate, SaysWhoIsAtFault) {
  const json::array messages = conversation();
  ChatTemplateInput input;
  input.messages = &messages;
  const auto refused = rendered("{{ raise_exception('roles must alternate') }}", input);
  EXPECT_EQ(refused.error().message, "roles must alternate");
  EXPECT_EQ(refused.error().field, "messages");
  const auto failed = rendered("\n{{ messages[0].content.x.y }}", input);
  EXPECT_EQ(failed.error().message, "'x' is undefined (line 2)");
  EXPECT_EQ(failed.error().field, "chat_template");
  const auto malformed = rendered("{% if %}", input);
  EXPECT_EQ(malformed.error().message, "expected an expression, got end of the tag (line 1)");
  input.max_output_bytes = 1;
  EXPECT_EQ(rendered("{{ messages[0].content }}", input).error().field, "chat_template");
}

TEST(ChatTemplate, RendersOnManyThreads) {
  const Result<ChatTemplate> parsed = ChatTemplate::parse(
      "{% macro f(x) %}<{{ x }}>{% endmacro %}{% set ns = namespace(n=0) %}"
      "{% for m in messages * 50 %}{% set ns.n = ns.n + loop.index %}{{ f(m.content) }}{% endfor %}{{ ns.n "
      "}}");
  ASSERT_TRUE(parsed.ok());
  const json::array messages = conversation();
  ChatTemplateInput input;
  input.messages = &messages;
  input.max_time = std::chrono::seconds(20);
  const std::string expected = parsed.value().render(input).value();
  std::vector<std::thread> threads;
  std::vector<int> num_same(4, 0);
  for (int& same : num_same) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) same += parsed.value().render(input).value() == expected ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(num_same, std::vector<int>(4, 20));
}

}  // namespace
}  // namespace caudal
