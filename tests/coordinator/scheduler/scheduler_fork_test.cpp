// Forks by example: n sequences of one prompt, which is computed once.
#include "tests/coordinator/scheduler/scheduler_fixture.h"

namespace caudal {
namespace {

class ForkTest : public SchedulerTest {
 protected:
  ForkTest() { join(); }

  static Request several(std::int32_t num_prompt, std::int32_t num_sequences = 3, std::int32_t max_tokens = 100) {
    Request r = request(1, num_prompt, max_tokens);
    r.num_sequences = num_sequences;
    return r;
  }
  // Submits, and brings the first one to its first token.
  void compute_first(Request r, FinishReason finish_reason = FinishReason::kNone) {
    const auto num_prompt = static_cast<std::int32_t>(r.prompt.size());
    submit(std::move(r));
    const StepPlan step = plan();
    ASSERT_EQ(step.new_sequences.size(), 1U) << "the others wait for what it computes";
    parent_ = step.new_sequences[0];
    ASSERT_TRUE(apply(step, {line(0, 1, num_prompt, {5}, finish_reason)}));
  }

  NewSequence parent_;
};

TEST_F(ForkTest, SiblingsShareFullBlocksAndCopyTheLast) {
  compute_first(several(40));
  const StepPlan forks = plan();
  ASSERT_EQ(forks.new_sequences.size(), 2U);
  ASSERT_EQ(forks.block_copies.size(), 2U);
  std::vector<SequenceResult> lines{line(0, 1, 41, {6})};
  for (std::size_t i = 0; i < 2; ++i) {
    const NewSequence& child = forks.new_sequences[i];
    EXPECT_EQ(child.num_computed, 39) << "all but the token to sample from";
    EXPECT_EQ(child.tokens.size(), 40U);
    EXPECT_TRUE(std::equal(child.blocks.begin(), child.blocks.begin() + 2, parent_.blocks.begin()));
    EXPECT_EQ(forks.block_copies[i].source, parent_.blocks[2]);
    EXPECT_EQ(forks.block_copies[i].destination, child.blocks[2]);
    EXPECT_EQ(forks.scheduled[i + 1].num_tokens, 1);
    lines.push_back(line(child.slot, child.sequence_id, 40, {7}));
  }
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 5);
  ASSERT_TRUE(apply(forks, std::move(lines)));
  EXPECT_EQ(scheduler_.replica_stats(1).num_prompt_tokens_computed, 42U);
  for (const TokenEvent& event : scheduler_.take_events()) {
    EXPECT_EQ(event.num_cached_tokens, 0) << "a request's own work is no cache hit";
  }
}

TEST_F(ForkTest, AFullLastBlockIsCopiedToo) {
  compute_first(several(32, 2));
  const StepPlan forks = plan();
  EXPECT_EQ(forks.new_sequences.at(0).num_computed, 31);
  ASSERT_EQ(forks.block_copies.size(), 1U) << "its last token is computed again, not over the shared one";
  EXPECT_EQ(forks.block_copies[0].source, parent_.blocks[1]);
}

TEST_F(ForkTest, NothingIsCopiedWhenTheLastTokenBeginsABlock) {
  compute_first(several(33, 2));
  const StepPlan forks = plan();
  EXPECT_EQ(forks.new_sequences.at(0).num_computed, 32);
  EXPECT_TRUE(forks.block_copies.empty());
}

TEST_F(ForkTest, WhatIsCopiedStaysUntilTheCopyIsAnswered) {
  compute_first(several(40, 2, 2));
  const StepPlan forks = plan();
  ASSERT_EQ(forks.block_copies.size(), 1U);
  const std::int32_t num_used = scheduler_.replica_stats(1).num_used_blocks;
  scheduler_.cancel(1, 0);
  scheduler_.check_integrity();
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, num_used);
  ASSERT_TRUE(apply(forks, {}));
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 0);
}

TEST_F(ForkTest, SiblingsOfOneThatHasEndedFindItsBlocksInTheCache) {
  compute_first(several(40, 3, 1), FinishReason::kLength);
  const StepPlan rest = plan();
  ASSERT_EQ(rest.new_sequences.size(), 2U) << "at once: what is left is less than a block";
  for (const NewSequence& child : rest.new_sequences) EXPECT_EQ(child.num_computed, 32);
}

TEST_F(ForkTest, TheNextSiblingTakesOverWhenTheFirstIsCancelled) {
  submit(several(100));
  const StepPlan first = plan();
  ASSERT_EQ(first.new_sequences.size(), 1U);
  scheduler_.cancel(1, 0, 0);
  const StepPlan second = plan();
  ASSERT_EQ(second.new_sequences.size(), 1U);
  EXPECT_EQ(second.new_sequences[0].sequence_id, 2U);
  EXPECT_EQ(second.new_sequences[0].num_computed, 0);
}

TEST_F(ForkTest, ALostReplicaComputesThePromptOnceMore) {
  compute_first(several(40));
  plan();
  scheduler_.replica_lost(1, 0);
  join(2);
  const StepPlan again = plan(2);
  ASSERT_EQ(again.new_sequences.size(), 1U);
  EXPECT_EQ(again.new_sequences[0].tokens.size(), 41U) << "the first goes on with its token";
  ASSERT_TRUE(apply(again, {line(0, 1, 41, {6})}, 2));
  EXPECT_EQ(plan(2).new_sequences.size(), 2U);
}

TEST_F(ForkTest, OthersPassThoseWhoWaitForASibling) {
  submit(several(100));
  ASSERT_EQ(plan().new_sequences.size(), 1U);
  submit(request(2, 4));
  const StepPlan second = plan();
  ASSERT_EQ(second.new_sequences.size(), 1U);
  EXPECT_EQ(second.new_sequences[0].sequence_id, 4U);
}

TEST(Forks, DoNotNeedThePrefixCache) {
  Scheduler scheduler(SchedulerConfig{.prefix_caching = false});
  scheduler.replica_joined(1, 1, replica(), 0);
  Request r = request(1, 40);
  r.num_sequences = 2;
  ASSERT_EQ(scheduler.submit(std::move(r), 0), RejectReason::kNone);
  const auto first = scheduler.plan(1, 0);
  ASSERT_TRUE(first && scheduler.apply(1, answer(*first, {line(0, 1, 40, {5})}), 0));
  const auto forks = scheduler.plan(1, 0);
  ASSERT_TRUE(forks);
  EXPECT_EQ(forks->new_sequences.at(0).num_computed, 39);
  scheduler.check_integrity();
}

}  // namespace
}  // namespace caudal
