// Log-probabilities of prompts by example: each is told once, whatever is cached and whoever computes it.
#include "tests/coordinator/scheduler/scheduler_fixture.h"

namespace caudal {
namespace {

class ScoresTest : public SchedulerTest {
 protected:
  // All prompts are the same one, of token 7.
  Request asking(RequestId id, std::int32_t num_prompt, std::int32_t num_logprobs = 0) {
    Request r = request(7, num_prompt);
    r.id = id;
    r.params.num_prompt_logprobs = num_logprobs;
    return r;
  }
  static SequenceResult scored(SequenceResult result, std::int32_t num_scores, TokenId token = 7) {
    for (std::int32_t i = 0; i < num_scores; ++i) result.prompt_logprobs.push_back({{token, -1.0F}});
    return result;
  }
  std::size_t num_told() {
    std::size_t sum = 0;
    for (const TokenEvent& event : scheduler_.take_events()) sum += event.prompt_logprobs.size();
    return sum;
  }
  bool has_failed() {
    const auto events = scheduler_.take_events();
    return events.size() == 1 && events[0].reject == RejectReason::kWorkerFault;
  }
};

TEST_F(ScoresTest, APromptIsToldAsItIsComputed) {
  join();
  submit(asking(1, 100));
  const StepPlan first = plan();
  EXPECT_EQ(first.new_sequences.at(0).params.num_prompt_logprobs, 0);
  ASSERT_TRUE(apply(first, {scored(line(0, 1, 64, {}), 64)}));
  EXPECT_EQ(num_told(), 64U);
  ASSERT_TRUE(apply(plan(), {scored(line(0, 1, 100, {5}), 35)}));
  const auto events = scheduler_.take_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].prompt_logprobs.size(), 35U);
  EXPECT_EQ(events[0].tokens.size(), 1U);
}

TEST_F(ScoresTest, WhoAsksTakesNothingFromTheCache) {
  join();
  submit(asking(1, 40, -1));
  ASSERT_TRUE(apply(plan(), {line(0, 1, 40, {5}, FinishReason::kLength)}));
  submit(asking(2, 40));
  EXPECT_EQ(plan().new_sequences.at(0).num_computed, 0);
  submit(asking(3, 40, -1));
  EXPECT_EQ(plan().new_sequences.at(0).num_computed, 32) << "who does not ask does";
}

// It goes on behind what was told: the next score comes from the last token of that.
TEST_F(ScoresTest, ALostReplicaIsNotToldAgain) {
  join(1);
  submit(asking(1, 100));
  ASSERT_TRUE(apply(plan(), {scored(line(0, 1, 64, {}), 64)}));
  const StepPlan lost = plan();
  EXPECT_EQ(num_told(), 64U);
  scheduler_.replica_lost(1, 0);
  join(2, replica(), 2);
  const StepPlan anew = plan(2);
  EXPECT_EQ(anew.new_sequences.at(0).num_computed, 0);
  ASSERT_TRUE(apply(anew, {scored(line(0, 1, 64, {}), 64)}, 2));
  EXPECT_EQ(num_told(), 0U);
  ASSERT_TRUE(apply(plan(2), {scored(line(0, 1, 100, {5}), 35)}, 2));
  EXPECT_EQ(num_told(), 35U);
}

TEST_F(ScoresTest, ASiblingNeedNotTell) {
  join();
  Request two = asking(1, 40);
  two.num_sequences = 2;
  submit(std::move(two));
  ASSERT_TRUE(apply(plan(), {scored(line(0, 1, 40, {5}), 39)}));
  const StepPlan forks = plan();
  EXPECT_EQ(forks.new_sequences.at(0).num_computed, 39);
  EXPECT_EQ(forks.new_sequences.at(0).params.num_prompt_logprobs, -1);
}

// A gap, too many, another token than the prompt's, and scores that nobody asked for.
TEST_F(ScoresTest, ImpossibleScoresEndTheSequence) {
  join();
  submit(asking(1, 40));
  ASSERT_TRUE(apply(plan(), {scored(line(0, 1, 40, {5}), 38)}));
  EXPECT_TRUE(has_failed());
  submit(asking(2, 40));
  ASSERT_TRUE(apply(plan(), {scored(line(1, 2, 40, {5}), 40)}));
  EXPECT_TRUE(has_failed());
  submit(asking(3, 40));
  const StepPlan third = plan();
  ASSERT_TRUE(apply(third, {scored(line(third.scheduled[0].slot, 3, 40, {5}), 39, 8)}));
  EXPECT_TRUE(has_failed());
  submit(asking(4, 40, -1));
  const StepPlan fourth = plan();
  ASSERT_TRUE(apply(fourth, {scored(line(fourth.scheduled[0].slot, 4, 40, {5}), 1)}));
  EXPECT_TRUE(has_failed());
}

// An answer has room for so many, whatever the budget of tokens is.
TEST_F(ScoresTest, APlanAsksForABoundedNumberOfThem) {
  join();
  constexpr std::int32_t kMany = (1 << 20) / 10;
  submit(asking(1, 20, kMany - 1));
  submit(asking(2, 4, kMany - 1));
  submit(asking(3, 40, -1));
  const StepPlan step = plan();
  ASSERT_EQ(step.scheduled.size(), 2U);
  EXPECT_EQ(step.scheduled[0].num_tokens, 10);
  EXPECT_EQ(step.new_sequences.at(step.new_sequences.size() - 1).params.num_prompt_logprobs, -1);
  EXPECT_EQ(step.scheduled[1].num_tokens, 40) << "who does not ask is not held up";
}

}  // namespace
}  // namespace caudal
