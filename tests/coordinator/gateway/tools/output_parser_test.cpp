// Formats found from small templates of each family, and what is read with them: the twenty conversations, pieces of
// any size, and bytes at random.
#include "coordinator/gateway/tools/output_parser.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "common/text/unicode.h"
#include "coordinator/gateway/tools/call_text.h"
#include "coordinator/gateway/tools/format/known_formats.h"
#include "tests/coordinator/gateway/tools/conversations.h"
#include "tests/coordinator/gateway/tools/family_templates.h"
#include "tests/sanitized.h"

namespace caudal {
namespace {

using namespace test;

ChatTemplate parsed_template(std::string_view source) {
  Result<ChatTemplate> parsed = ChatTemplate::parse(source);
  EXPECT_TRUE(parsed.ok()) << parsed.error().message;
  return std::move(parsed).value();
}

ParsedOutput read(const OutputFormat& format, std::string_view text, bool tools = true) {
  const ParserOptions options{.tools = tools, .known = known()};
  return parse(format, options, text, text.size(), 1);
}

OutputFormat hermes() {
  OutputFormat format;
  format.tools = known_tool_format("hermes");
  format.reasoning = known_reasoning_format("qwen3");
  return format;
}

TEST(OutputParser, ReadsBackWhatEachFamilyPrints) {
  for (const Family& family : kFamilies) {
    const ChatTemplate chat_template = parsed_template(template_of(family));
    const OutputFormat& format = chat_template.output_format();
    ASSERT_TRUE(format.tools.has_value()) << family.name;
    EXPECT_TRUE(format.told) << family.name;
    EXPECT_EQ(format.reasoning.has_value(), !family.reasoning.empty()) << family.name;
    for (const Conversation& conversation : conversations()) {
      auto written = write(chat_template, conversation, *format.tools);
      ASSERT_TRUE(written.has_value()) << family.name << ": " << conversation.name;
      damage(conversation, written->text);
      const ParserOptions options{.tools = true, .in_reasoning = ends_open(format, written->prompt), .known = known()};
      const ParsedOutput whole = parse(format, options, written->text, written->text.size(), 1);
      EXPECT_EQ(verdict(conversation, written->text, whole), "") << family.name << ": " << conversation.name << "\n"
                                                                 << written->text;
      for (std::size_t cut = 0; cut <= written->text.size(); ++cut) {
        const ParsedOutput pieces = parse(format, options, written->text, cut, 1 + cut % 7);
        ASSERT_EQ(shown(pieces), shown(whole)) << family.name << ": " << conversation.name << " cut at " << cut;
      }
    }
  }
}

TEST(OutputParser, ReadsChannels) {
  const ChatTemplate chat_template = parsed_template(kHarmony);
  const OutputFormat& format = chat_template.output_format();
  ASSERT_TRUE(format.tools.has_value());
  const ParsedOutput both = read(
      format,
      "<|channel|>analysis<|message|>Think.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather "
      "<|constrain|>json<|message|>{\"city\":\"Oslo\"}<|call|>");
  EXPECT_EQ(both.reasoning, "Think.");
  EXPECT_EQ(both.content, "");
  ASSERT_EQ(both.calls.size(), 1U);
  EXPECT_EQ(both.calls[0].name, "get_weather");
  EXPECT_EQ(both.calls[0].arguments, R"({"city":"Oslo"})");
  const ParsedOutput told = read(format,
                                 "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant to=functions.now"
                                 "<|channel|>commentary json<|message|>{}");
  EXPECT_EQ(told.content, "I look.");
  ASSERT_EQ(told.calls.size(), 1U);
  EXPECT_EQ(read(format, "<|channel|>final<|message|>It is sunny.").content, "It is sunny.");
}

TEST(OutputParser, LosesNothingOfWhatIsNoCall) {
  const OutputFormat format = hermes();
  for (const std::string text : {
           "<tool_call>",
           "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"a\": ",
           "<tool_call>\n{\"name\": \"now\", \"arguments\": [1]}\n</tool_call>",
           "<tool_call>\n{\"arguments\": {}}\n</tool_call>",
           "<tool_call>\n{\"name\": \"now\" \"arguments\": {}}\n</tool_call>",
           "<tool_call>\nnow()\n</tool_call>",
           "<tool_call>{\"name\": \"now\", \"arguments\": {}}<tool_call>",
           "a < b <tool_cal",
           "</tool_call>",
           "  {\"name\": \"now\"}  ",
       }) {
    const ParsedOutput out = read(format, text);
    EXPECT_TRUE(out.calls.empty()) << text;
    EXPECT_EQ(out.content, text);
  }
}

TEST(OutputParser, TakesWhatModelsGetNearlyRight) {
  const OutputFormat format = hermes();
  const auto arguments = [&](const std::string& call) {
    const ParsedOutput out = read(format, "Fine.\n\n<tool_call>" + call);
    EXPECT_EQ(out.content, "Fine.");
    return out.calls.size() == 1 ? out.calls[0].arguments : "none";
  };
  EXPECT_EQ(arguments(R"({"name":"now","arguments":{"a":1}}</tool_call>)"), R"({"a":1})");
  EXPECT_EQ(arguments(R"({"arguments":{"a":1.50},"name":"now"})"), R"({"a":1.50})");
  EXPECT_EQ(arguments(R"({"name":"now","parameters":{"a":1}}</tool_call>)"), R"({"a":1})");
  EXPECT_EQ(arguments(R"({"name":"now","arguments":"{\"a\":1}"}</tool_call>)"), R"({"a":1})");
  EXPECT_EQ(arguments(R"({"name":"now"}</tool_call>)"), "{}");
  EXPECT_EQ(arguments(R"({"name":"now","arguments":null}</tool)"), "{}");
}

TEST(OutputParser, KeepsReasoningApart) {
  const OutputFormat format = hermes();
  const ParserOptions open{.tools = true, .in_reasoning = true, .known = known()};
  const std::string text = "First <tool_call> is no call.\n</think>\n\nSo: <think>";
  const ParsedOutput out = parse(format, open, text, text.size(), 1);
  EXPECT_EQ(out.reasoning, "First <tool_call> is no call.");
  EXPECT_EQ(out.content, "So: <think>");
  EXPECT_EQ(read(format, "<think>never closed").reasoning, "never closed");
  EXPECT_EQ(read(format, " <think></think>x").content, "x");
}

TEST(OutputParser, LooksForNoCallsWithoutTools) {
  const std::string text = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
  EXPECT_EQ(read(hermes(), text, false).content, text);
}

// What is written for a model is what is read from it, by name, and for each family.
TEST(CallText, IsReadBack) {
  std::vector<ToolFormat> formats;
  for (const std::string_view name : known_tool_format_names()) formats.push_back(known_tool_format(name).value());
  for (const Family& family : kFamilies) {
    formats.push_back(parsed_template(template_of(family)).output_format().tools.value());
  }
  const json::object first = json::parse(R"({"city":"Oslo","days":3})").as_object();
  const json::object second = json::parse(R"({"query":"a \"b\""})").as_object();
  for (const ToolFormat& each : formats) {
    OutputFormat format;
    format.tools = each;
    const std::string text = call_text(each, {{"get_weather", first, "id1"}, {"search_notes", second, "id2"}});
    const ParsedOutput out = read(format, text);
    ASSERT_EQ(out.calls.size(), each.several ? 2U : 1U) << text;
    EXPECT_EQ(json::parse(out.calls[0].arguments), first) << text;
    EXPECT_EQ(json::parse(out.calls.back().arguments), each.several ? second : first) << text;
  }
}

TEST(KnownFormats, AllAreFoundFromTheirOwnText) {
  for (const std::string_view name : known_tool_format_names()) {
    const auto format = known_tool_format(name);
    ASSERT_TRUE(format.has_value()) << name;
    EXPECT_FALSE(format->call.empty()) << name;
  }
  EXPECT_FALSE(known_tool_format("nothing").has_value());
  EXPECT_FALSE(known_reasoning_format("nothing").has_value());
}

// Pieces of marks, brackets and words in any order.
std::string random_text(std::mt19937& random, const std::vector<std::string>& marks) {
  const std::vector<std::string> words{"{", "}", "\"", "[",  "]",   "(",        ")", "=",
                                       ",", ":", " ",  "\n", "now", "\"name\"", "é", "x1"};
  std::string text;
  for (int i = 0; i < 40; ++i) {
    const std::string& word = random() % 2 == 0 ? marks[random() % marks.size()] : words[random() % words.size()];
    const bool part = random() % 4 == 0;
    text += part ? word.substr(0, random() % (word.size() + 1)) : word;
    if (random() % 16 == 0) text += static_cast<char>(random() % 256);
  }
  return text;
}

TEST(OutputParser, GivesTheSameForAnyPieces) {
  std::mt19937 random(14);
  std::vector<std::string> sources{std::string(kHarmony)};
  for (const Family& family : kFamilies) sources.push_back(template_of(family));
  for (const std::string& source : sources) {
    const ChatTemplate chat_template = parsed_template(source);
    const OutputFormat& format = chat_template.output_format();
    const std::vector<std::string> marks = format.marks();
    for (int round = 0; round < 300; ++round) {
      const std::string text = random_text(random, marks);
      const ParserOptions options{.tools = true, .in_reasoning = round % 3 == 0, .known = known()};
      const ParsedOutput whole = parse(format, options, text, text.size(), 1);
      ASSERT_EQ(shown(parse(format, options, text, 0, 1)), shown(whole)) << text;
      ASSERT_EQ(shown(parse(format, options, text, random() % text.size(), 1 + random() % 9)), shown(whole)) << text;
      if (!is_valid_utf8(text)) continue;
      for (const ToolCall& call : whole.calls) EXPECT_TRUE(json::parse(call.arguments).is_object()) << text;
    }
  }
}

// Hostile output costs no more than its length.
TEST(OutputParser, IsLinear) {
  const ChatTemplate chat_template = parsed_template(template_of(kFamilies[0]));
  std::string text;
  while (text.size() < 2'000'000) text += "<tool_call>{\"name\": \"";
  const ParsedOutput out = read(chat_template.output_format(), text);
  EXPECT_EQ(out.content, text);
}

// White space that may be part of a mark is looked at a few times, not again with every piece; text does not wait for
// it.
TEST(OutputParser, IsLinearInWhiteSpace) {
  for (const char* name : {"hermes", "llama3_json", "qwen3_coder", "glm45", "pythonic", "mistral_args"}) {
    OutputFormat format = hermes();
    format.tools = known_tool_format(name);
    const std::string call = call_text(*format.tools, {{"now", {}, "id"}});
    for (const std::string& front : {std::string("Hi"), std::string("<"), std::string("<tool_call>"), call,
                                     std::string("{"), std::string("[TOOL_CALLS]"), call.substr(0, call.size() / 2)}) {
      const ParserOptions options{.tools = true, .known = known()};
      const std::string text = front + std::string(test::kSanitized ? 1 << 17 : 1 << 20, '\n') + "x";
      const auto begin = std::chrono::steady_clock::now();
      parse(format, options, text, 0, 1);
      EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4)) << name << " " << front;
    }
  }
  const OutputFormat format = hermes();
  const ParserOptions options{.tools = true, .known = known()};
  for (const std::string& front : {std::string("Hi"), std::string("<")}) {
    OutputParser parser(format, options);
    ParsedOutput out;
    parser.push(front + std::string(1000, ' '), out);
    EXPECT_GE(out.content.size(), 900U) << "a stream that falls silent";
    parser.finish(out);
    EXPECT_EQ(out.content, front + std::string(1000, ' '));
  }
}

}  // namespace
}  // namespace caudal
