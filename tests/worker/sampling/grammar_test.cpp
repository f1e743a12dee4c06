// The demonstration model held to grammars: what comes out keeps to them, judged by others than the engine; and it is
// the same whatever the draft tokens, chunks, batches, ranks, preemptions and the device.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <regex>
#include <set>

#include "common/model_files/model_files.h"
#include "tests/sanitized.h"
#include "tests/worker/same_answers.h"
#include "worker/sampling/grammars.h"

namespace caudal {
namespace {

namespace json = boost::json;

const std::filesystem::path kModel = std::filesystem::path(CAUDAL_SOURCE_DIR) / "deploy/demo-model/model";

constexpr const char* kSchema =
    R"({"type":"object","properties":{"city":{"type":"string","maxLength":12},"size":{"enum":["small","large"]},)"
    R"("parts":{"type":"array","items":{"type":"integer","minimum":0,"maximum":99},"minItems":1,"maxItems":3}},)"
    R"("required":["city","size","parts"],"additionalProperties":false})";

bool is_city(const std::string& text) {
  boost::system::error_code failed;
  const json::value value = json::parse(text, failed);
  if (failed || !value.is_object() || value.as_object().size() != 3) return false;
  const json::object& city = value.as_object();
  const std::string size(city.at("size").as_string());
  const json::array& parts = city.at("parts").as_array();
  return city.at("city").as_string().size() <= 48 && (size == "small" || size == "large") && !parts.empty() &&
         parts.size() <= 3 && std::ranges::all_of(parts, [](const json::value& part) {
           return part.is_int64() && part.as_int64() >= 0 && part.as_int64() <= 99;
         });
}

bool matches(const std::string& text, const char* pattern) { return std::regex_match(text, std::regex(pattern)); }

struct Case {
  GrammarParams grammar;
  std::function<bool(const std::string&)> is_right;
};

std::vector<Case> cases() {
  return {
      {{GrammarKind::kJsonSchema, kSchema}, is_city},
      {{GrammarKind::kRegex, "[A-Z][a-z]{2,6}( [a-z]{1,5}){1,3}[.!]"},
       [](const std::string& text) { return matches(text, "[A-Z][a-z]{2,6}( [a-z]{1,5}){1,3}[.!]"); }},
      {{GrammarKind::kChoices, R"(["the red door","the green door","none"])"},
       [](const std::string& text) {
         return std::set<std::string>{"the red door", "the green door", "none"}.contains(text);
       }},
      {{GrammarKind::kGbnf, "root ::= \"(\" item (\", \" item){0,3} \")\"\nitem ::= [a-d]+ | \"(\" item \")\""},
       [](const std::string& text) {
         return text.starts_with("(") && text.ends_with(")") &&
                std::ranges::count(text, '(') == std::ranges::count(text, ')');
       }},
      {{GrammarKind::kTags,
        R"({"type":"structural_tag","format":{"type":"tag","begin":"so <n>","content":{"type":"json_schema",)"
        R"("json_schema":{"type":"integer","minimum":10,"maximum":99}},"end":"</n>."}})"},
       [](const std::string& text) { return matches(text, "so <n>\\s*[1-9][0-9]\\s*</n>\\."); }},
  };
}

RunnerOptions small_options() {
  RunnerOptions options;
  options.dtype = DTypeChoice::kF32;
  options.max_num_sequences = 16;
  options.max_tokens_per_step = 512;
  options.kv.num_blocks = 512;
  return options;
}

class HeldToGrammars : public testing::Test {
 protected:
  void SetUp() override {
    auto text = load_token_text(kModel);
    ASSERT_TRUE(text) << text.error().message;
    tokenizer_ = text.value().tokenizer;
    stops_ = text.value().vocabulary->end_tokens();
    ASSERT_FALSE(stops_.empty());
  }

  // Greedy and drawn, with all that edits logits.
  std::vector<ToyRequest> requests() const {
    std::vector<ToyRequest> result;
    for (const Case& one : cases()) {
      for (int i = 0; i < 3; ++i) {
        ToyRequest request = greedy_request(tokenizer_->encode("Tell me about the place."), 120);
        request.params.sampling.grammar = one.grammar;
        request.params.sampling.temperature = 0.5F * static_cast<float>(i);
        request.params.sampling.seed = 7 + static_cast<std::uint64_t>(i);
        if (i == 1) request.params.sampling.repetition_penalty = 1.2F;
        if (i == 2) request.params.sampling.num_logprobs = 2;
        if (i == 2) request.params.stop.min_tokens = 50;
        request.params.stop.stop_token_ids = stops_;
        request.params.speculative = SpeculativeMode::kNgram;
        result.push_back(std::move(request));
      }
    }
    return result;
  }

  std::string text_of(const ToyAnswer& answer) const { return tokenizer_->decode(answer.tokens, true); }

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<TokenId> stops_;
};

TEST_F(HeldToGrammars, OutputsKeepToThem) {
  TestReplica replica(kModel, 1, small_options());
  ASSERT_TRUE(replica.valid());
  const std::vector<ToyRequest> all = requests();
  const ToyRun run = generate(replica, all);
  int num_ended = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const ToyAnswer& answer = run.answers[i];
    ASSERT_NE(answer.finish_reason, FinishReason::kError) << i << ": " << text_of(answer);
    if (answer.finish_reason != FinishReason::kStop) continue;
    ++num_ended;
    EXPECT_TRUE(cases()[i / 3].is_right(text_of(answer))) << i << ": " << text_of(answer);
  }
  EXPECT_GT(num_ended, static_cast<int>(all.size() / 2));
}

TEST_F(HeldToGrammars, TheSameHoweverTheyAreComputed) {
  const std::vector<ToyRequest> all = requests();
  TestReplica one(kModel, 1, small_options());
  ASSERT_TRUE(one.valid());
  const ToyRun plain = generate(one, all);
  const ToyRun drafted = generate(one, all, {.num_draft_tokens = 5});
  expect_same(drafted, plain);
  EXPECT_GT(drafted.num_accepted, 20) << "what a grammar forces is drafted";
  EXPECT_LT(drafted.num_steps, plain.num_steps);
  expect_same(generate(one, all, {.chunk = 3, .max_running = 2}), plain);
  const ToyRun preempted = generate(one, all, {.num_blocks = 24, .num_draft_tokens = 3});
  EXPECT_GT(preempted.num_preemptions, 0);
  expect_same(preempted, plain);
  TestReplica two(kModel, 2, small_options());
  ASSERT_TRUE(two.valid());
  const ToyRun split = generate(two, all, {.num_draft_tokens = 4, .plans_in_flight = 2});
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(split.answers[i].tokens, plain.answers[i].tokens) << i;
}

// Under emulation every thread of a kernel is a fiber, so few tokens.
TEST_F(HeldToGrammars, TheSameOnTheDevice) {
  if (test::kSanitized) GTEST_SKIP() << "takes too long";
  std::vector<ToyRequest> all = requests();
  for (ToyRequest& request : all) request.params.stop.max_tokens = 6;
  for (ToyRequest& request : all) request.params.stop.min_tokens = 0;
  TestReplica cpu(kModel, 1, small_options()), simt(kModel, 1, small_options(), "simt");
  ASSERT_TRUE(cpu.valid() && simt.valid());
  const ToyRun expected = generate(cpu, all);
  for (const std::size_t in_flight : {std::size_t{1}, std::size_t{2}}) {
    const ToyRun run = generate(simt, all, {.num_draft_tokens = 2, .plans_in_flight = in_flight});
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(run.answers[i].tokens, expected.answers[i].tokens) << i;
  }
}

// Where the output of one replica goes on in another.
TEST_F(HeldToGrammars, AnOutputGoesOnElsewhere) {
  TestReplica first(kModel, 1, small_options()), second(kModel, 1, small_options());
  ASSERT_TRUE(first.valid() && second.valid());
  const ToyRequest request = requests()[1];
  const ToyRun whole = generate(first, {request});
  ASSERT_GT(whole.answers[0].tokens.size(), 8U);
  StepPlan plan;
  plan.step_id = 1;
  NewSequence moved;
  moved.tokens = request.prompt;
  moved.num_prompt_tokens = static_cast<std::int32_t>(request.prompt.size());
  moved.tokens.insert(moved.tokens.end(), whole.answers[0].tokens.begin(), whole.answers[0].tokens.begin() + 7);
  for (const BlockId block : ids<BlockId>(static_cast<std::int32_t>(moved.tokens.size() / kBlockSize) + 1))
    moved.blocks.push_back(block);
  moved.params = request.params;
  const auto num_tokens = static_cast<std::int32_t>(moved.tokens.size());
  plan.new_sequences.push_back(moved);
  plan.scheduled.push_back({.slot = 0, .num_tokens = num_tokens, .new_blocks = {}, .next_token = {}});
  EXPECT_EQ(second.run(plan).sequences.at(0).tokens.at(0), whole.answers[0].tokens[7]);
}

}  // namespace
}  // namespace caudal
