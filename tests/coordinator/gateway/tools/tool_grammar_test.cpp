// Grammars of calls: what each family prints for a call that fits the schema is accepted, what does not fit is stopped,
// and what is accepted is read back.
#include "coordinator/gateway/tools/tool_grammar.h"

#include <gtest/gtest.h>

#include "common/grammar/grammar.h"
#include "common/grammar/matcher.h"
#include "coordinator/gateway/tools/call_text.h"
#include "coordinator/gateway/tools/format/atoms.h"
#include "coordinator/gateway/tools/format/known_formats.h"
#include "tests/coordinator/gateway/tools/conversations.h"
#include "tests/coordinator/gateway/tools/family_templates.h"

namespace caudal {
namespace {

using namespace test;

// One token for each byte, and one that ends.
std::shared_ptr<const grammar::TokenVocabulary> bytes() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  tokens.emplace_back();
  return std::make_shared<const grammar::TokenVocabulary>(tokens, std::vector<TokenId>{256});
}

// How far the grammar takes the text; the size and "end" when it may end there.
std::string accepted(const std::string& grammar, std::string_view text) {
  const auto compiled = grammar::Grammar::compile(GrammarKind::kTags, grammar);
  if (!compiled.ok()) return compiled.error().message + " " + compiled.error().field;
  grammar::Matcher matcher(compiled.value(), bytes());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!matcher.accept(static_cast<unsigned char>(text[i]))) return "stopped at '" + std::string(text.substr(i)) + "'";
  }
  return matcher.is_complete() ? "end" : "open";
}

json::array strict_tools() {
  json::array list = tools();
  for (json::value& tool : list) {
    tool.at("function").as_object()["strict"] = true;
    tool.at("function").at("parameters").as_object()["additionalProperties"] = false;
  }
  return list;
}

// What the format writes for a call, from its own template.
std::string written_call(const ChatTemplate& chat_template, const json::array& calls) {
  Conversation conversation;
  conversation.calls = calls;
  const auto written = write(chat_template, conversation, *chat_template.output_format().tools);
  EXPECT_TRUE(written.has_value());
  return written ? std::string(trimmed(written->text)) : "";
}

TEST(ToolGrammar, TakesWhatEachFamilyPrints) {
  const json::array list = strict_tools();
  for (const Family& family : kFamilies) {
    const Result<ChatTemplate> parsed = ChatTemplate::parse(template_of(family));
    ASSERT_TRUE(parsed.ok());
    const OutputFormat& format = parsed.value().output_format();
    const GrammarRequest request{.format = format, .tools = list, .required = true};
    const std::string grammar = tool_grammar(request, nullptr).value();
    const json::array right{call("get_weather", R"({"city":"Oslo"})")};
    EXPECT_EQ(accepted(grammar, written_call(parsed.value(), right)), "end") << family.name << "\n" << grammar;
    const json::array two{call("get_weather", R"({"city":"Oslo"})"), call("search_notes", R"({"query":"x"})")};
    EXPECT_EQ(accepted(grammar, written_call(parsed.value(), two)), "end") << family.name;
    const ParserOptions held{.tools = true, .held = true, .known = known_tools(list)};
    const std::string text = written_call(parsed.value(), two);
    EXPECT_EQ(parse(format, held, text, 1, 1).calls.size(), 2U) << family.name << "\n" << text;
    const json::array unknown{call("no_such_tool", R"({"city":"Oslo"})")};
    EXPECT_TRUE(accepted(grammar, written_call(parsed.value(), unknown)).starts_with("stopped")) << family.name;
    const json::array incomplete{call("search_notes", R"({"other":"x"})")};
    EXPECT_TRUE(accepted(grammar, written_call(parsed.value(), incomplete)).starts_with("stopped")) << family.name;
  }
}

TEST(ToolGrammar, HoldsToTheNamedFunctionAndToOneCall) {
  const json::array list = strict_tools();
  OutputFormat format;
  format.tools = known_tool_format("hermes");
  const std::string now = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
  const std::string weather =
      "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"A\"}}\n</tool_call>";
  const std::string only =
      tool_grammar({.format = format, .tools = list, .only = "now", .required = true}, nullptr).value();
  EXPECT_EQ(accepted(only, now), "end");
  EXPECT_TRUE(accepted(only, weather).starts_with("stopped"));
  EXPECT_TRUE(accepted(only, now + "\n" + now).starts_with("stopped"));
  const GrammarRequest one{.format = format, .tools = list, .required = true, .parallel = false};
  EXPECT_TRUE(accepted(tool_grammar(one, nullptr).value(), now + "\n" + now).starts_with("stopped"));
  const GrammarRequest many{.format = format, .tools = list, .required = true};
  EXPECT_EQ(accepted(tool_grammar(many, nullptr).value(), now + "\n" + weather), "end");
}

TEST(ToolGrammar, LeavesTextFreeUntilTheMark) {
  const json::array list = strict_tools();
  OutputFormat format;
  format.tools = known_tool_format("hermes");
  const std::string grammar = tool_grammar({.format = format, .tools = list}, nullptr).value();
  EXPECT_EQ(accepted(grammar, "It is < 5 {\"name\"}."), "end");
  const std::string call = "Well.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": ";
  EXPECT_EQ(accepted(grammar, call + "\"A\"}}\n</tool_call>"), "end");
  EXPECT_TRUE(accepted(grammar, call + "7").starts_with("stopped"));
}

TEST(ToolGrammar, LetsTheModelThinkFirst) {
  const json::array list = strict_tools();
  OutputFormat format;
  format.tools = known_tool_format("hermes");
  format.reasoning = known_reasoning_format("qwen3");
  const std::string now = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
  const GrammarRequest open{.format = format, .tools = list, .required = true, .in_reasoning = true};
  EXPECT_EQ(accepted(tool_grammar(open, nullptr).value(), "Hm {.\n</think>\n\n" + now), "end");
  const GrammarRequest may{.format = format, .tools = list, .required = true, .may_reason = true};
  EXPECT_EQ(accepted(tool_grammar(may, nullptr).value(), "<think>Hm</think>" + now), "end");
  EXPECT_EQ(accepted(tool_grammar(may, nullptr).value(), now), "end");
  const json::object schema{{"type", "json_schema"}, {"json_schema", json::object{{"type", "object"}}}};
  EXPECT_EQ(accepted(content_grammar(open, schema), "Hm.</think>\n{\"a\": 1}"), "end");
  EXPECT_TRUE(accepted(content_grammar(open, schema), "Hm.</think>\nText").starts_with("stopped"));
  const GrammarRequest either{.format = format, .tools = list};
  EXPECT_EQ(accepted(tool_grammar(either, &schema).value(), "{\"a\": 1}"), "end");
  EXPECT_EQ(accepted(tool_grammar(either, &schema).value(), now), "end");
}

// Strings between marks have no quotes, so that their schemas are kept to in another way.
TEST(ToolGrammar, HoldsUnquotedStringsToTheirSchemas) {
  OutputFormat format;
  format.tools = known_tool_format("qwen3_coder");
  const auto fits = [&](const std::string& schema, const std::string& value) {
    const json::object parameters{
        {"type", "object"}, {"properties", json::object{{"a", json::parse(schema)}}}, {"required", json::array{"a"}}};
    const json::array list{
        json::object{{"type", "function"}, {"function", json::object{{"name", "f"}, {"parameters", parameters}}}}};
    const std::string grammar = tool_grammar({.format = format, .tools = list, .required = true}, nullptr).value();
    return accepted(grammar, "<tool_call>\n<function=f>\n<parameter=a>\n" + value +
                                 "\n</parameter>\n</function>\n</tool_call>") == "end";
  };
  EXPECT_TRUE(fits(R"({"type":"string"})", "a <b> \n c"));
  EXPECT_TRUE(fits(R"({"type":"string","maxLength":4})", "ab\xC3\xA9\n"));
  EXPECT_FALSE(fits(R"({"type":"string","maxLength":4})", "abcde"));
  EXPECT_FALSE(fits(R"({"type":"string","minLength":2,"maxLength":4})", "a"));
  EXPECT_TRUE(fits(R"({"type":"string","minLength":2})", "abcdefgh"));
  EXPECT_TRUE(fits(R"({"type":"string","maxLength":1024})", std::string(1024, 'x')));
  EXPECT_TRUE(fits(R"({"type":"string","enum":["x","y z"]})", "y z"));
  EXPECT_FALSE(fits(R"({"type":"string","enum":["x","y z"]})", "y"));
  EXPECT_FALSE(fits(R"({"type":"string","const":"x"})", "z"));
  EXPECT_TRUE(fits(R"({"type":"string","pattern":"^[0-9]{2}$"})", "42"));
  EXPECT_FALSE(fits(R"({"type":"string","pattern":"^[0-9]{2}$"})", "427"));
  EXPECT_TRUE(fits(R"({"type":"string","pattern":"[0-9]"})", "a7b"));
  EXPECT_TRUE(fits(R"({"type":"string","pattern":"^a\\\\$"})", "a\\"));
  EXPECT_FALSE(fits(R"({"type":"string","pattern":"^a\\\\$"})", "a\\b")) << "the dollar is an anchor";
  EXPECT_TRUE(fits(R"({"type":"string","pattern":"^a\\$"})", "a$b")) << "the dollar is a character";
  EXPECT_TRUE(fits(R"({"type":"integer"})", "7"));
  EXPECT_FALSE(fits(R"({"type":"integer"})", "seven"));
}

// A call that is required is one, also of a function without parameters.
TEST(ToolGrammar, HoldsFunctionsWithoutProperties) {
  for (const char* parameters : {"", R"(,"parameters":{"type":"object"})"}) {
    const json::array list =
        json::parse(R"([{"type":"function","function":{"name":"f")" + std::string(parameters) + "}}]").as_array();
    for (const char* name : {"qwen3_coder", "glm45", "seed_oss", "minimax_m2"}) {
      OutputFormat format;
      format.tools = known_tool_format(name);
      const std::string grammar = tool_grammar({.format = format, .tools = list, .required = true}, nullptr).value();
      const std::string call(trimmed(call_text(*format.tools, {{"f", {}, "id"}})));
      EXPECT_EQ(accepted(grammar, call), "end") << name << "\n" << call << "\n" << grammar;
      const std::size_t close = call.rfind("</");
      const std::string junk = call.substr(0, close) + "I would say so. " + call.substr(close);
      EXPECT_TRUE(accepted(grammar, junk).starts_with("stopped")) << name << "\n" << junk;
    }
  }
}

// Where an object alone is a call, each way to write one that is read as a call is held.
TEST(ToolGrammar, HoldsBareObjectsHoweverTheyAreSpaced) {
  const json::array list = strict_tools();
  OutputFormat format;
  format.tools = known_tool_format("llama3_json");
  const std::string grammar = tool_grammar({.format = format, .tools = list}, nullptr).value();
  const ParserOptions held{.tools = true, .held = true, .known = known_tools(list)};
  int num_calls = 0;
  for (const char* open : {"", " ", "\n", "\n  ", "\n    ", "\n\t", "   ", "\t", "\n      "}) {
    for (const char* space : {"", " ", "\n "}) {
      const std::string front = "Well: {" + std::string(open) + "\"name\"" + space + ":" + space + "\"get_weather\"" +
                                space + "," + space + "\"parameters\":" + space;
      const std::string right = front + "{\"city\":\"A\"}" + space + "}", wrong = front + "{\"city\":7}}";
      const bool is_call = parse(format, held, right, right.size(), 1).calls.size() == 1;
      num_calls += is_call ? 1 : 0;
      EXPECT_EQ(accepted(grammar, right), "end") << right;
      EXPECT_EQ(accepted(grammar, wrong).starts_with("stopped"), is_call) << wrong;
      EXPECT_EQ(parse(format, held, wrong, wrong.size(), 1).calls.size(), is_call ? 1U : 0U) << wrong;
    }
  }
  EXPECT_EQ(num_calls, 18);
  const std::string late = R"({"parameters":{"city":7},"name":"get_weather"})";
  EXPECT_EQ(parse(format, {.tools = true, .known = known_tools(list)}, late, 1, 1).calls.size(), 1U);
  EXPECT_TRUE(parse(format, held, late, 1, 1).calls.empty()) << "the grammar lets it be text";
}

TEST(ToolGrammar, RefusesToHoldWhatNoMarkOpens) {
  json::array list = tools();
  list.at(1).at("function").as_object()["strict"] = true;
  OutputFormat format;
  format.tools = known_tool_format("pythonic");
  const auto grammar = tool_grammar({.format = format, .tools = list}, nullptr);
  ASSERT_FALSE(grammar.ok()) << grammar.value();
  EXPECT_EQ(grammar.error().field, "tools[1].function.strict");
  EXPECT_TRUE(tool_grammar({.format = format, .tools = list, .required = true}, nullptr).ok());
}

// The reader sees text: the spelling of a special token ends the reasoning, too, and begins no call that is free.
TEST(ToolGrammar, TakesSpelledMarksAsTheReaderDoes) {
  const json::array list = strict_tools();
  OutputFormat format;
  format.tools = known_tool_format("hermes");
  format.reasoning = known_reasoning_format("qwen3");
  const std::vector<std::string> special{"<think>", "</think>", "<tool_call>", "</tool_call>"};
  const GrammarRequest open{
      .format = format, .tools = list, .required = true, .in_reasoning = true, .special = special};
  const std::string now = "\xFF<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n\xFF</tool_call>";
  const std::string grammar = tool_grammar(open, nullptr).value();
  EXPECT_EQ(accepted(grammar, "Hm.\xFF</think>\n" + now), "end");
  EXPECT_EQ(accepted(grammar, "Hm.</think>\n" + now), "end");
  EXPECT_TRUE(accepted(grammar, "Hm.</think> and so on").starts_with("stopped"));
  const std::string free = tool_grammar({.format = format, .tools = list, .special = special}, nullptr).value();
  EXPECT_EQ(accepted(free, "Well. " + now), "end");
  EXPECT_TRUE(accepted(free, "Well. <tool_call>").starts_with("stopped"));
}

TEST(ToolGrammar, MarksSpecialTokensAndStopsAtTheEnd) {
  const json::array list = strict_tools();
  OutputFormat format;
  format.tools = known_tool_format("openai");
  const std::vector<std::string> special{"<|channel|>", "<|message|>", "<|call|>"}, ends{"<|call|>"};
  const GrammarRequest request{
      .format = format, .tools = list, .required = true, .special = special, .end_tokens = ends};
  const std::string grammar = tool_grammar(request, nullptr).value();
  // To the matcher a special token is 0xFF and its text.
  EXPECT_EQ(accepted(grammar, "to=functions.now\xFF<|channel|>commentary json\xFF<|message|>{}"), "end");
  EXPECT_TRUE(accepted(grammar, "to=functions.now<|channel|>commentary json").starts_with("stopped"));
}

}  // namespace
}  // namespace caudal
