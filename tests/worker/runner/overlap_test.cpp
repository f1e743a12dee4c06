// Two plans in flight on a device: the second is prepared while the first is computed, and what comes out is what one
// after the other gives, whatever the second would have had to know. On the stand-in, whose streams run only when
// someone waits: a token that the host reads too soon is wrong every time.
#include "kernels/cuda/emulation/fake/device.h"
#include "kernels/factory/make_backend.h"
#include "tests/worker/device_ranks.h"
#include "tests/worker/runner/golden_cases.h"
#include "tests/worker/test_rank.h"
#include "worker/comm/local.h"

namespace caudal {
namespace {

class OverlapTest : public testing::Test {
 protected:
  void SetUp() override { fake::reset({}); }
  void TearDown() override { fake::reset({}); }

  RunnerOptions options() const {
    RunnerOptions options = golden_options(fixture_, DTypeChoice::kF32);
    options.max_num_sequences = 8;
    options.max_tokens_per_step = 128;
    options.kv.num_blocks = 128;
    options.draft_model_dir = draft_model_;
    return options;
  }

  // Short ones of every kind that a step in flight has to think of.
  std::vector<ToyRequest> requests() const {
    std::vector<ToyRequest> requests = golden_requests(fixture_, 6);
    const std::vector<TokenId>& known = fixture_.cases[1].greedy_f32;
    const ToyRequest first = requests[1];
    requests.push_back(first);
    requests.back().params.stop.stop_token_ids = {known[3]};  // nobody knows before the step has told
    requests.push_back(requests.back());
    requests.back().params.stop.min_tokens = 5;
    requests.push_back(first);
    requests.back().params.sampling.repetition_penalty = 1.4F;
    requests.push_back(first);
    requests.back().params.sampling.bad_words = {{known[1], known[2]}, {known[0], known[1], known[5]}};
    requests.push_back(first);
    requests.back().params.sampling.temperature = 0.9F;
    requests.back().params.sampling.num_logprobs = 2;
    requests.push_back(first);
    requests.back().params.stop.max_tokens = 1;
    for (ToyRequest& request : requests) request.params.speculative = SpeculativeMode::kAuto;
    return requests;
  }

  // Runs them one plan after the other, then with two in flight; how many of those did not have to wait.
  int expect_same_with_two(int ranks, const JoinRanks& join, ToyOptions toy) {
    TestReplica replica(fixture_.model_dir, ranks, options(), "simt", join);
    if (!replica.valid()) return 0;
    toy.plans_in_flight = 1;
    const ToyRun plain = generate(replica, requests(), toy);
    EXPECT_EQ(replica.num_overlaps(), 0);
    toy.plans_in_flight = 2;
    with_two_ = generate(replica, requests(), toy);
    expect_same(with_two_, plain);
    return replica.num_overlaps();
  }

  Fixture fixture_ = load_fixture("qwen2");
  std::filesystem::path draft_model_;
  ToyRun with_two_;
};

TEST_F(OverlapTest, TokensAreThoseOfOnePlanAfterAnother) {
  EXPECT_GT(expect_same_with_two(1, {}, {}), 5);
  EXPECT_GT(expect_same_with_two(1, through_the_host, {}), 5);  // without graphs
}

TEST_F(OverlapTest, InChunksAndPreempted) {
  EXPECT_GT(expect_same_with_two(1, {}, {.chunk = 5, .max_running = 4}), 5);
  EXPECT_GT(expect_same_with_two(1, {}, {.chunk = 24, .num_blocks = 12}), 0);
  EXPECT_GT(with_two_.num_preemptions, 0);
}

TEST_F(OverlapTest, GuessesWaitForTheStepBefore) {
  draft_model_ = fixture_.model_dir;  // it guesses for itself: nearly every guess is right
  expect_same_with_two(1, {}, {.num_draft_tokens = 3});
  EXPECT_GT(with_two_.num_accepted, 0);
}

TEST_F(OverlapTest, BetweenRanks) {
  EXPECT_GT(expect_same_with_two(2, over_nccl, {}), 5);
  EXPECT_GT(expect_same_with_two(2, through_the_host, {}), 5);
}

NewSequence entering(SlotId slot, const std::vector<TokenId>& tokens, BlockId block) {
  NewSequence sequence;
  sequence.slot = slot;
  sequence.sequence_id = slot.index() + 1;
  sequence.tokens = tokens;
  sequence.num_prompt_tokens = static_cast<std::int32_t>(tokens.size());
  sequence.blocks = {block, BlockId::of(block.value() + 1)};
  sequence.params.sampling.temperature = 0.0F;
  sequence.params.stop.max_tokens = 8;
  return sequence;
}

// By hand: a runner, and plans of one sequence.
class TwoPlans : public OverlapTest {
 protected:
  void SetUp() override {
    OverlapTest::SetUp();
    backend_ = std::move(make_backend({.device = "simt", .max_isa = ""})).value();
    alone_ = std::move(make_local_group(1).front());
    runner_ = std::move(Runner::create(*backend_, *alone_, fixture_.model_dir, options())).value();
  }
  static StepPlan plan(StepId step, std::int32_t num_tokens) {
    StepPlan plan;
    plan.step_id = step;
    plan.scheduled = {{0, num_tokens, {}, 0}};
    return plan;
  }
  StepPlan first_plan() const {
    StepPlan first = plan(1, static_cast<std::int32_t>(known().prompt.size()));
    first.new_sequences = {entering(0, known().prompt, 0)};
    return first;
  }
  const FixtureCase& known() const { return fixture_.cases[1]; }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Communicator> alone_;
  std::unique_ptr<Runner> runner_;
};

TEST_F(TwoPlans, TheHostDoesNotWaitToSubmitTheSecond) {
  ASSERT_TRUE(runner_->submit(first_plan()).ok());
  EXPECT_FALSE(runner_->done());
  const long works = fake::counters().works;
  ASSERT_TRUE(runner_->may_overlap(plan(2, 1)));
  ASSERT_TRUE(runner_->submit(plan(2, 1)).ok());
  EXPECT_EQ(fake::counters().works, works) << "something ran, so someone waited";
  EXPECT_EQ(runner_->collect().value().sequences.at(0).tokens, std::vector<TokenId>{known().greedy_f32[0]});
  EXPECT_FALSE(runner_->done());
  const SequenceResult second = runner_->collect().value().sequences.at(0);
  EXPECT_EQ(second.tokens, std::vector<TokenId>{known().greedy_f32[1]});
  EXPECT_EQ(second.num_computed, static_cast<std::int32_t>(known().prompt.size()) + 1);
  EXPECT_TRUE(runner_->done());
}

TEST_F(TwoPlans, AStopTokenMakesTheSecondsWorkVoid) {
  StepPlan first = first_plan();
  first.new_sequences[0].params.stop.stop_token_ids = {known().greedy_f32[0]};
  ASSERT_TRUE(runner_->submit(first).ok());
  ASSERT_TRUE(runner_->submit(plan(2, 1)).ok());
  EXPECT_EQ(runner_->collect().value().sequences.at(0).finish_reason, FinishReason::kStop);
  // The slot's next owner enters while the void work is still in flight.
  StepPlan third = first_plan();
  third.step_id = 3;
  third.released = {0};
  ASSERT_TRUE(runner_->may_overlap(third));
  ASSERT_TRUE(runner_->submit(third).ok());
  EXPECT_TRUE(runner_->collect().value().sequences.empty());
  EXPECT_EQ(runner_->collect().value().sequences.at(0).tokens, std::vector<TokenId>{known().greedy_f32[0]});
}

TEST_F(TwoPlans, WhatEndsByLengthIsNotComputedFurther) {
  StepPlan first = first_plan();
  first.new_sequences[0].params.stop.max_tokens = 1;
  ASSERT_TRUE(runner_->submit(first).ok());
  const long launches = fake::counters().launches + fake::counters().graph_launches;
  ASSERT_TRUE(runner_->submit(plan(2, 1)).ok());
  EXPECT_EQ(fake::counters().launches + fake::counters().graph_launches, launches);
  EXPECT_EQ(runner_->collect().value().sequences.at(0).finish_reason, FinishReason::kLength);
  EXPECT_TRUE(runner_->collect().value().sequences.empty());
}

TEST_F(TwoPlans, SomePlansHaveToWait) {
  StepPlan first = first_plan();
  first.new_sequences.push_back(entering(1, known().prompt, 4));
  first.new_sequences[1].params.sampling.presence_penalty = 0.5F;
  first.scheduled.push_back({1, static_cast<std::int32_t>(known().prompt.size()), {}, 0});
  ASSERT_TRUE(runner_->submit(first).ok());
  StepPlan leaves = plan(2, 1), counts = plan(2, 1), guesses = plan(2, 1);
  leaves.released = {1};
  counts.scheduled.push_back({1, 1, {}, 0});
  guesses.scheduled[0].num_draft_tokens = 1;
  EXPECT_TRUE(runner_->may_overlap(plan(2, 1)));
  EXPECT_FALSE(runner_->may_overlap(leaves));
  EXPECT_FALSE(runner_->may_overlap(counts));
  EXPECT_FALSE(runner_->may_overlap(guesses));
  EXPECT_TRUE(runner_->collect().ok());
}

// As in a worker: whoever takes plans from the queue answers them in order, and an epoch's end forgets what is in
// flight.
TEST_F(OverlapTest, TheStepLoopAnswersInOrder) {
  TestRank rank(std::move(make_local_group(1).front()), "simt");
  rank.load();
  for (StepId step = 1; step <= 6; ++step) rank.queues.plans.push(plan_of(1, step));
  rank.queues.epoch = 1;
  std::atomic<bool> ended = false;
  std::jthread stop([&] {
    while (rank.queues.steps_done < 6 && !ended) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    rank.queues.epoch = 2;
    rank.queues.plans.push(plan_of(2, 1));
    rank.queues.plans.close();
  });
  EXPECT_EQ(rank.loop->run(), 0);
  ended = true;
  stop.join();
  std::vector<TokenId> tokens;
  StepId last = 0;
  for (const FromWorker& answer : rank.queues.answers.drain_for(std::chrono::milliseconds(0))) {
    const StepResult& result = std::get<StepResult>(answer);
    EXPECT_EQ(result.step_id, result.epoch == 1 ? last + 1 : 1U);
    last = result.step_id;
    tokens.push_back(result.sequences.at(0).tokens.at(0));
  }
  ASSERT_EQ(tokens.size(), 7U);
  EXPECT_EQ(tokens[6], tokens[0]);
  TestRank cpu(std::move(make_local_group(1).front()));
  cpu.load();
  for (StepId step = 1; step <= 6; ++step)
    EXPECT_EQ(cpu.runner->run(plan_of(1, step)).value().sequences.at(0).tokens.at(0), tokens[step - 1]);
}

TEST_F(OverlapTest, TheCpuNeverOverlaps) {
  TestReplica replica(fixture_.model_dir, 1, options());
  ASSERT_TRUE(replica.valid());
  const ToyRun plain = generate(replica, requests()), two = generate(replica, requests(), {.plans_in_flight = 2});
  expect_same(two, plain);
  EXPECT_EQ(replica.num_overlaps(), 0);
}

}  // namespace
}  // namespace caudal
