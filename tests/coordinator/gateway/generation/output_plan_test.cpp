// What a request's prompt, tools and grammar make of its output: grammars, state of reasoning, tokens that are shown.
#include "coordinator/gateway/generation/output_plan.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "common/grammar/grammar.h"
#include "common/grammar/matcher.h"
#include "coordinator/gateway/generation/choice.h"
#include "coordinator/gateway/tools/format/known_formats.h"
#include "tests/coordinator/gateway/scripted_service.h"

namespace caudal {
namespace {

namespace json = boost::json;

class OutputPlanTest : public testing::Test {
 protected:
  OutputPlanTest() : model_(byte_model()) {
    model_.output_format.tools = known_tool_format("hermes");
    model_.output_format.reasoning = known_reasoning_format("qwen3");
    chat_.messages.push_back(json::object{{"role", "user"}, {"content", "Hi"}});
  }

  std::vector<TokenId> tokens(std::string_view text) const { return model_.tokenizer->encode(text, {}); }

  void add_tool() {
    chat_.tools =
        json::parse(R"([{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}])").as_array();
  }

  // The grammar of a request that has one of its own; or the field that is wrong.
  std::string constrained(GrammarKind kind, const std::string& text) const {
    const MarkTokens marks(model_);
    const OutputPlanner planner(model_, marks, chat_);
    SamplingParams params;
    params.grammar = {kind, text};
    const auto done = planner.constrain(tokens("<|assistant|><think>\n"), "response_format", params);
    return done.ok() ? params.grammar.text : done.error().field;
  }

  bool in_reasoning(const std::string& said, const std::string& prompt) {
    chat_.continue_final_message = true;
    chat_.messages.push_back(json::object{{"role", "assistant"}, {"content", said}});
    const MarkTokens marks(model_);
    const OutputPlanner planner(model_, marks, chat_);
    return planner.plan(tokens(prompt + said))->parser.in_reasoning;
  }

  ModelContext model_;
  ChatInput chat_;
};

// How far a grammar takes the text.
std::size_t accepted(const std::string& text, std::string_view output) {
  const auto compiled = grammar::Grammar::compile(GrammarKind::kTags, text);
  if (!compiled.ok()) return output.size() + 1;
  std::vector<std::string> bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.emplace_back(1, static_cast<char>(byte));
  bytes.emplace_back();
  const auto vocabulary = std::make_shared<const grammar::TokenVocabulary>(bytes, std::vector<TokenId>{256});
  grammar::Matcher matcher(compiled.value(), vocabulary);
  std::size_t at = 0;
  while (at < output.size() && matcher.accept(static_cast<unsigned char>(output[at]))) ++at;
  return at;
}

TEST_F(OutputPlanTest, HoldsToTheOlderFormOfStructuralTags) {
  const std::string older =
      R"({"type":"structural_tag","structures":[{"begin":"<a>","schema":{"type":"integer"},"end":"</a>"}],"triggers":["<a"]})";
  for (const bool with_tools : {false, true}) {
    if (with_tools) add_tool();
    const std::string grammar = constrained(GrammarKind::kTags, older);
    const std::string right = "Hm.</think>So <a>7</a>.", wrong = "Hm.</think>So <a>x";
    EXPECT_EQ(accepted(grammar, right), right.size()) << grammar;
    EXPECT_EQ(accepted(grammar, wrong), wrong.size() - 1) << grammar;
  }
}

TEST_F(OutputPlanTest, HoldsToDeepGrammars) {
  std::string schema = R"({"const":7})", tag = R"({"type":"const_string","value":"x"})", value = "7";
  for (int depth = 0; depth < 20; ++depth) {
    schema = R"({"type":"object","properties":{"a":)" + schema + R"(},"required":["a"],"additionalProperties":false})";
    tag = R"({"type":"sequence","elements":[)" + tag + "]}";
    value = R"({"a":)" + value + "}";
  }
  const std::string front = "</think>";
  const std::string of_schema = constrained(GrammarKind::kJsonSchema, schema);
  EXPECT_EQ(accepted(of_schema, front + value), front.size() + value.size());
  EXPECT_EQ(accepted(of_schema, front + "{\"b"), front.size() + 2);
  const std::string of_tag = constrained(GrammarKind::kTags, R"({"type":"structural_tag","format":)" + tag + "}");
  EXPECT_EQ(accepted(of_tag, front + "x"), front.size() + 1);
  EXPECT_EQ(accepted(of_tag, front + "y"), front.size());
}

TEST_F(OutputPlanTest, NamesAGrammarThatCannotBeRead) {
  for (const char* wrong : {"{", R"({"type":"structural_tag"})", R"({"format":7})"}) {
    EXPECT_EQ(constrained(GrammarKind::kTags, wrong), "response_format") << wrong;
  }
  EXPECT_EQ(constrained(GrammarKind::kJsonSchema, std::string(200, '[') + std::string(200, ']')), "response_format");
}

TEST_F(OutputPlanTest, SeesWhetherAContinuedMessageThinks) {
  EXPECT_TRUE(in_reasoning("<think>\nOkay,", "<|assistant|>"));
  EXPECT_TRUE(in_reasoning("<think>\nOkay, " + std::string(500, 'x'), "<|assistant|>"));
  EXPECT_TRUE(in_reasoning("Okay,", "<|assistant|><think>\n"));
  EXPECT_FALSE(in_reasoning("<think>\nOkay,</think>\nSo", "<|assistant|>"));
  EXPECT_FALSE(in_reasoning("Okay,</think> So", "<|assistant|><think>\n"));
  EXPECT_FALSE(in_reasoning("Okay,", "<|user|>What is <think>?<|end|><|assistant|>"));
  EXPECT_TRUE(in_reasoning("<think>a</think><think>b", "<|assistant|>"));
}

class SpecialMarks : public OutputPlanTest {
 protected:
  SpecialMarks() {
    model_.output_format.reasoning = ReasoningFormat{"<|user|>", "<|assistant|>"};
    model_.output_format.tools->block_open = "<|bos|>";
  }

  ChoiceDelta read(const std::string& output, const ApiRequest& request = {}) {
    const MarkTokens marks(model_);
    const auto plan = OutputPlanner(model_, marks, chat_).plan(tokens("<|end|>"));
    Choice choice(0, *model_.tokenizer, request, std::make_shared<const StopStrings>(request.stop_strings), "", plan);
    TokenEvent event;
    event.tokens = model_.tokenizer->encode(output, {.add_special_tokens = false});
    event.finish_reason = FinishReason::kLength;
    return choice.apply(event).value();
  }
};

TEST_F(SpecialMarks, OnlyMarksThatActAreSeen) {
  EXPECT_EQ(read("Well, <|bos|>now").text, "Well, now") << "no tools";
  add_tool();
  EXPECT_EQ(read("Well, <|bos|>now").text, "Well, <|bos|>now") << "a call that cannot be read";
  EXPECT_EQ(read("Well, <|user|>so<|assistant|> it is").text, "Well, so it is");
  const ChoiceDelta thought = read("<|user|>Hm<|assistant|>Well");
  EXPECT_EQ(thought.text, "Well");
  EXPECT_EQ(thought.reasoning, "Hm");
}

// One token ends the call and holds the stop string.
TEST_F(SpecialMarks, ACallInFrontOfAStopStringIsKept) {
  add_tool();
  model_.output_format.tools = known_tool_format("hermes");
  model_.output_format.tools->call.back().text = "<|";
  ApiRequest request;
  request.skip_special_tokens = false;
  request.stop_strings = {"end"};
  const ChoiceDelta delta = read("Well.<tool_call>{\"name\": \"f\", \"arguments\": {}}<|end|>", request);
  EXPECT_EQ(delta.text, "Well.");
  EXPECT_EQ(delta.stop_string, "end");
  ASSERT_FALSE(delta.calls.empty());
  EXPECT_EQ(delta.calls.front().name, "f");
}

}  // namespace
}  // namespace caudal
