// Prefix caching by example: who finds what, from when on, and who does not.
#include "tests/coordinator/scheduler/scheduler_fixture.h"

namespace caudal {
namespace {

class PrefixTest : public SchedulerTest {
 protected:
  PrefixTest() { join(); }

  // One request of 40 prompt tokens, from its submission to its only token.
  void compute_one(RequestId id = 1) {
    Request r = request(7, 40, 1);
    r.id = id;
    submit(std::move(r));
    const StepPlan step = plan();
    const NewSequence& entered = step.new_sequences.at(0);
    ASSERT_TRUE(apply(step, {line(entered.slot, entered.sequence_id, 40, {5}, FinishReason::kLength)}));
    scheduler_.take_events();
  }
  // What a second one with the same prompt is told about its prefix.
  NewSequence enter(Request r) {
    submit(std::move(r));
    return plan().new_sequences.at(0);
  }
  Request same_prompt(RequestId id = 2) {
    Request r = request(7, 40);
    r.id = id;
    return r;
  }
};

TEST_F(PrefixTest, ARepeatedPromptIsComputedFromItsLastBlockOn) {
  compute_one();
  submit(same_prompt());
  const StepPlan step = plan();
  const NewSequence& entered = step.new_sequences.at(0);
  EXPECT_EQ(entered.num_computed, 32);
  EXPECT_EQ(entered.tokens.size(), 40U);
  EXPECT_EQ(entered.blocks.size(), 3U);
  EXPECT_EQ(step.scheduled[0].num_tokens, 8);
  ASSERT_TRUE(apply(step, {line(entered.slot, entered.sequence_id, 40, {5})}));
  ASSERT_TRUE(apply(plan(), {line(entered.slot, entered.sequence_id, 41, {6})}));
  const auto events = scheduler_.take_events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].num_cached_tokens, 32);
  EXPECT_EQ(events[1].num_cached_tokens, 0) << "told once";
  EXPECT_EQ(scheduler_.replica_stats(1).num_prefix_tokens_queried, 80U);
  EXPECT_EQ(scheduler_.replica_stats(1).num_prefix_tokens_hit, 32U);
  EXPECT_EQ(scheduler_.replica_stats(1).num_prompt_tokens_computed, 48U);
}

TEST_F(PrefixTest, NothingIsFoundBeforeItsAnswerIsThere) {
  submit(request(7, 40));
  const StepPlan first = plan();
  EXPECT_EQ(enter(same_prompt()).num_computed, 0) << "the first is still being computed";
  ASSERT_TRUE(apply(first, {line(0, 1, 40, {5})}));
  EXPECT_EQ(enter(same_prompt(3)).num_computed, 32) << "and found while the first is running";
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 3 + 3 + 1);
}

TEST_F(PrefixTest, GeneratedTokensAreFoundToo) {
  submit(request(1, 16, 40));
  std::int32_t num_computed = 15;
  std::vector<TokenId> text(16, 1);
  while (text.size() < 34) {
    ASSERT_TRUE(apply(plan(), {line(0, 1, ++num_computed, {9})}));
    text.push_back(9);
  }
  Request next = request(2, 1);
  next.prompt = text;
  EXPECT_EQ(enter(std::move(next)).num_computed, 32);
}

TEST_F(PrefixTest, TheLastTokenIsAlwaysComputed) {
  compute_one();
  Request shorter = request(7, 32);
  shorter.id = 2;
  EXPECT_EQ(enter(std::move(shorter)).num_computed, 16);
}

TEST_F(PrefixTest, ASaltIsAWorldOfItsOwn) {
  compute_one();
  Request salted = same_prompt();
  salted.cache_salt = "mine";
  EXPECT_EQ(enter(std::move(salted)).num_computed, 0);
}

TEST_F(PrefixTest, ARejoinedReplicaHasNothing) {
  compute_one();
  join(1, replica(), 2);
  EXPECT_EQ(enter(same_prompt()).num_computed, 0);
}

TEST_F(PrefixTest, WhatAFaultyStepTouchedIsNotFoundAgain) {
  submit(request(7, 100));  // in two chunks
  ASSERT_TRUE(apply(plan(), {line(0, 1, 64, {})}));
  Request before = request(7, 100);
  before.id = 2;
  ASSERT_TRUE(apply(plan(), {line(0, 1, 64, {}, FinishReason::kError)}));
  EXPECT_EQ(enter(std::move(before)).num_computed, 0);
}

TEST_F(PrefixTest, APreemptedSequenceGoesOnBehindWhatIsStillCached) {
  join(1, replica(5), 2);
  submit(request(1, 32, 40));
  submit(request(2, 31, 40));
  StepPlan step = plan();
  ASSERT_TRUE(apply(step, {line(0, 1, 32, {5}), line(1, 2, 31, {6})}));
  step = plan();  // both grow: 1 takes the fifth block, 2 has one token of room left
  ASSERT_TRUE(apply(step, {line(0, 1, 33, {5}), line(1, 2, 32, {6})}));
  step = plan();  // and now it would need a sixth
  EXPECT_EQ(scheduler_.stats().num_preemptions, 1U);
  ASSERT_EQ(step.scheduled.size(), 1U);
  ASSERT_TRUE(apply(step, {line(0, 1, 34, {5}, FinishReason::kStop)}));
  const StepPlan resumed = plan();
  ASSERT_EQ(resumed.new_sequences.size(), 1U);
  EXPECT_EQ(resumed.new_sequences[0].tokens.size(), 33U);
  EXPECT_EQ(resumed.new_sequences[0].num_computed, 32);
  EXPECT_EQ(resumed.scheduled[0].num_tokens, 1);
}

TEST_F(PrefixTest, ASequenceWaitsForTheBusyReplicaThatHasItsPrefix) {
  join(2);
  compute_one();
  submit(request(50, 8));
  submit(request(51, 8));
  const StepPlan first = plan(1);
  const StepPlan second = plan(2);
  ASSERT_EQ(first.new_sequences.size() + second.new_sequences.size(), 2U);
  const StepPlan again = plan(1);  // two are in flight there
  Request r = same_prompt();
  submit(std::move(r));
  EXPECT_TRUE(plan(2).new_sequences.empty()) << "a decode is a short wait for two blocks";
  ASSERT_TRUE(apply(first, {line(first.scheduled[0].slot, first.new_sequences[0].sequence_id, 8, {5})}));
  const StepPlan next = plan(1);
  ASSERT_EQ(next.new_sequences.size(), 1U);
  EXPECT_EQ(next.new_sequences[0].num_computed, 32);
}

TEST(PrefixCaching, CanBeTurnedOff) {
  Scheduler scheduler(SchedulerConfig{.prefix_caching = false});
  scheduler.replica_joined(1, 1, replica(), 0);
  for (const RequestId id : {1, 2}) {
    Request r = request(7, 40, 1);
    r.id = id;
    ASSERT_EQ(scheduler.submit(std::move(r), 0), RejectReason::kNone);
    const auto step = scheduler.plan(1, 0);
    ASSERT_TRUE(step);
    EXPECT_EQ(step->new_sequences.at(0).num_computed, 0);
    ASSERT_TRUE(scheduler.apply(1, answer(*step, {line(0, id, 40, {5}, FinishReason::kLength)}), 0));
  }
  EXPECT_EQ(scheduler.replica_stats(1).num_cached_blocks, 0);
  EXPECT_EQ(scheduler.replica_stats(1).num_prefix_tokens_queried, 0U);
}

}  // namespace
}  // namespace caudal
