// Tools, and which of them the model may or must call.
#include "coordinator/gateway/api/openai_tools.h"

#include <gtest/gtest.h>

#include "tests/coordinator/gateway/api/parse_request.h"

namespace caudal {
namespace {

constexpr const char* kTwo =
    R"([{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g","strict":true}}])";

Result<ApiRequest> ask(const std::string& members) {
  return parse_text(Endpoint::kChat, R"({"messages":[{"role":"user","content":"a"}],)" + members + "}");
}

Result<ApiRequest> choose(const std::string& choice) {
  return ask(R"("tools":)" + std::string(kTwo) + R"(,"tool_choice":)" + choice);
}

TEST(OpenAiTools, TakesEveryChoice) {
  const auto chosen = [](const std::string& choice) { return choose(choice).value().chat->tool_choice; };
  EXPECT_EQ(chosen(R"("auto")"), ToolChoice::kAuto);
  EXPECT_EQ(chosen(R"("required")"), ToolChoice::kRequired);
  EXPECT_EQ(chosen("null"), ToolChoice::kAuto);
  EXPECT_TRUE(choose(R"("none")").value().chat->tools.empty());
  for (const char* form : {R"({"type":"function","function":{"name":"g"}})", R"({"type":"function","name":"g"})"}) {
    const auto named = choose(form);
    ASSERT_TRUE(named.ok()) << form;
    EXPECT_EQ(named.value().chat->tool_choice, ToolChoice::kNamed);
    EXPECT_EQ(named.value().chat->named_tool, "g");
  }
  for (
      const char* form :
      {R"({"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"g"}}]}})",
       R"({"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"g"}]})"}) {
    const auto allowed = choose(form);
    ASSERT_TRUE(allowed.ok()) << form;
    EXPECT_EQ(allowed.value().chat->tool_choice, ToolChoice::kRequired);
    ASSERT_EQ(allowed.value().chat->tools.size(), 1U);
    EXPECT_EQ(allowed.value().chat->tools[0].at("function").at("name").as_string(), "g");
  }
}

TEST(OpenAiTools, NamesWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> bad{
      {R"("tools":[{"function":{"name":"f"}},{"function":{"name":"f"}}])", "tools[1].function.name"},
      {R"("tools":[{"function":{"name":"f","parameters":[]}}])", "tools[0].function.parameters"},
      {R"("tools":[{"function":{"name":"f","strict":"yes"}}])", "tools[0].function.strict"},
      {R"("tools":[7])", "tools[0]"},
      {R"("tools":{})", "tools"},
      {R"("tool_choice":"required")", "tool_choice"},
      {R"("tool_choice":"any")", "tool_choice"},
      {R"("tool_choice":7)", "tool_choice"},
      {R"("tool_choice":{"type":"function","function":{"name":"f"}})", "tool_choice"},
      {R"("tool_choice":{"type":"function"})", "tool_choice.function"},
      {R"("tool_choice":{"type":"custom","name":"f"})", "tool_choice.type"},
      {R"("tool_choice":{"type":"allowed_tools","tools":[{"type":"function","name":"f"}]})", "tool_choice.mode"},
      {R"("tool_choice":{"type":"allowed_tools","mode":"auto","tools":[]})", "tool_choice.tools"},
      {R"("tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"function","name":"f"}]})",
       "tool_choice.tools[0]"},
  };
  for (const auto& [members, field] : bad) {
    const auto request = ask(members);
    ASSERT_FALSE(request.ok()) << members;
    EXPECT_EQ(request.error().field, field) << members;
  }
}

TEST(OpenAiTools, TakesWhatIsWantedOfReasoning) {
  const auto request = ask(R"("enable_thinking":false,"include_reasoning":false,"thinking_token_budget":7,)"
                           R"("parallel_tool_calls":false)");
  ASSERT_TRUE(request.ok());
  const ApiRequest& taken = request.value();
  EXPECT_FALSE(taken.chat->template_kwargs.at("enable_thinking").as_bool());
  EXPECT_FALSE(taken.chat->include_reasoning);
  EXPECT_FALSE(taken.chat->parallel_tool_calls);
  EXPECT_EQ(taken.params.sampling.thinking.budget, 7);
}

}  // namespace
}  // namespace caudal
