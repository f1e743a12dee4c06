// Preempted sequences that keep their KV in host memory, by example. Two sequences of 30 tokens on a replica of 5
// blocks: when both need a third block, the second one leaves.
#include "tests/coordinator/scheduler/scheduler_fixture.h"

namespace caudal {
namespace {

class SwapTest : public testing::Test {
 protected:
  explicit SwapTest(bool prefix_caching = false)
      : scheduler_(SchedulerConfig{.max_tokens_per_step = 64, .prefix_caching = prefix_caching}) {}
  void TearDown() override { scheduler_.check_integrity(); }

  static ReplicaInfo info(std::int32_t num_host_blocks = 8, std::int64_t swap_block_ns = 1000) {
    ReplicaInfo info = replica(5);
    info.num_host_blocks = num_host_blocks;
    info.swap_block_ns = swap_block_ns;
    return info;
  }

  StepPlan plan(ReplicaId id = 1) {
    auto plan = scheduler_.plan(id, 0);
    EXPECT_TRUE(plan.has_value());
    return plan.value_or(StepPlan{});
  }
  // Takes `compute_us` for the step, so a token of the 60 of the first one is 1,000 / 60 us.
  void answer(const StepPlan& plan, std::int64_t compute_us = 1000, FinishReason end_of_first = FinishReason::kNone) {
    StepResult result{.epoch = plan.epoch, .step_id = plan.step_id, .sequences = {}, .compute_us = compute_us};
    for (const NewSequence& sequence : plan.new_sequences) {
      num_computed_[sequence.slot] = sequence.num_computed;
      ids_[sequence.slot] = sequence.sequence_id;
    }
    for (const ScheduledSequence& line : plan.scheduled) {
      num_computed_[line.slot] += line.num_tokens;
      const bool ends = ids_[line.slot] == 1 && end_of_first != FinishReason::kNone;
      result.sequences.push_back(
          {line.slot, ids_[line.slot], num_computed_[line.slot], {7}, ends ? end_of_first : FinishReason::kNone, {}});
    }
    ASSERT_TRUE(scheduler_.apply(replica_of(plan), std::move(result), 0));
  }
  ReplicaId replica_of(const StepPlan& plan) const { return plan.epoch == 2 ? 2 : 1; }

  void begin(const ReplicaInfo& info) {
    scheduler_.replica_joined(1, 1, info, 0);
    for (const RequestId id : {1, 2}) EXPECT_EQ(scheduler_.submit(request(id, 30, 40), 0), RejectReason::kNone);
  }
  // The plan in which the second sequence has left with 32 tokens computed.
  StepPlan preempt(const ReplicaInfo& info, std::int64_t compute_us = 1000) {
    begin(info);
    for (int step = 0; step < 3; ++step) answer(plan(), compute_us);
    return plan();
  }

  Scheduler scheduler_;
  std::map<SlotId, std::int32_t> num_computed_;
  std::map<SlotId, SequenceId> ids_;
};

TEST_F(SwapTest, GoesOutBeforeItsBlocksAreReusedAndComesBack) {
  const StepPlan out = preempt(info());
  ASSERT_EQ(out.swapped_out.size(), 2U);
  EXPECT_EQ(out.swapped_out[0].source, BlockId(2));
  EXPECT_EQ(out.swapped_out[1].source, BlockId(3));
  EXPECT_EQ(out.scheduled.size(), 1U);
  EXPECT_EQ(scheduler_.replica_stats(1).num_swapped, 1);
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_host_blocks, 2);
  answer(out, 1000, FinishReason::kStop);
  const StepPlan in = plan();
  ASSERT_EQ(in.new_sequences.size(), 1U);
  EXPECT_EQ(in.new_sequences[0].num_computed, 32);
  EXPECT_EQ(in.new_sequences[0].tokens.size(), 33U);
  ASSERT_EQ(in.swapped_in.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(in.swapped_in[i].source, out.swapped_out[i].destination);
    EXPECT_EQ(in.swapped_in[i].destination, in.new_sequences[0].blocks[i]);
  }
  EXPECT_EQ(in.scheduled.at(0).num_tokens, 1);
  const ReplicaStats stats = scheduler_.replica_stats(1);
  EXPECT_EQ(stats.num_used_host_blocks, 0);
  EXPECT_EQ(stats.num_sequences_swapped_out, 1U);
  EXPECT_EQ(stats.num_sequences_swapped_in, 1U);
  EXPECT_EQ(stats.num_blocks_swapped_out, 2U);
  EXPECT_EQ(stats.num_blocks_swapped_in, 2U);
}

// With a plan in flight its blocks are still written: it goes out with the plan after the answer.
TEST_F(SwapTest, WaitsForThePlanInFlight) {
  begin(info());
  StepPlan before = plan();
  for (int step = 0; step < 2; ++step) {
    const StepPlan next = plan();
    answer(before);
    before = next;
  }
  const StepPlan third = plan();  // the second sequence leaves; its last plan is unanswered
  EXPECT_EQ(third.scheduled.size(), 1U);
  EXPECT_TRUE(third.swapped_out.empty());
  answer(before);
  EXPECT_EQ(plan().swapped_out.size(), 2U);
}

TEST_F(SwapTest, IsComputedAgainWhereThatIsCheaperOrNothingIsKnown) {
  EXPECT_TRUE(preempt(info(8, 1000), 0).swapped_out.empty()) << "no step was measured";
}

TEST_F(SwapTest, IsComputedAgainWhereCopiesAreSlow) {
  EXPECT_TRUE(preempt(info(8, 300'000)).swapped_out.empty()) << "600 us; 32 tokens take 533";
}

TEST_F(SwapTest, IsComputedAgainWithoutRoomOnTheHost) {
  const StepPlan out = preempt(info(1));
  EXPECT_TRUE(out.swapped_out.empty());
  answer(out, 1000, FinishReason::kStop);
  const StepPlan again = plan();
  EXPECT_EQ(again.new_sequences.at(0).num_computed, 0);
  EXPECT_TRUE(again.swapped_in.empty());
}

TEST_F(SwapTest, ACancelFreesTheHostBlocks) {
  answer(preempt(info()));
  scheduler_.cancel(2, 0);
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_host_blocks, 0);
  EXPECT_EQ(scheduler_.replica_stats(1).num_swapped, 0);
}

TEST_F(SwapTest, IsLeftToItsReplicaByABusyOne) {
  begin(info());
  for (int step = 0; step < 3; ++step) answer(plan());
  scheduler_.replica_joined(2, 2, replica(40), 0);
  ASSERT_EQ(scheduler_.submit(request(3, 30, 40), 0), RejectReason::kNone);
  answer(plan(2));
  const StepPlan out = plan();
  EXPECT_EQ(out.swapped_out.size(), 2U);
  EXPECT_TRUE(plan(2).new_sequences.empty());
  answer(out, 1000, FinishReason::kStop);
  EXPECT_EQ(plan().swapped_in.size(), 2U);
}

TEST_F(SwapTest, AnIdleReplicaComputesItAgain) {
  answer(preempt(info()));
  scheduler_.replica_joined(2, 2, replica(40), 0);
  const StepPlan again = plan(2);
  ASSERT_EQ(again.new_sequences.size(), 1U);
  EXPECT_EQ(again.new_sequences[0].sequence_id, 2U);
  EXPECT_EQ(again.new_sequences[0].num_computed, 0);
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_host_blocks, 0);
}

TEST_F(SwapTest, ALostReplicaTakesItAlong) {
  answer(preempt(info()));
  scheduler_.replica_lost(1, 0);
  EXPECT_EQ(scheduler_.replica_stats(1).num_swapped, 0);
  scheduler_.replica_joined(1, 3, info(), 0);
  const StepPlan again = plan();
  EXPECT_TRUE(again.swapped_in.empty());
  for (const NewSequence& sequence : again.new_sequences) EXPECT_EQ(sequence.num_computed, 0);
}

class SwapWithCacheTest : public SwapTest {
 protected:
  SwapWithCacheTest() : SwapTest(true) {}
};

// Only what the prefix cache has lost comes from the host.
TEST_F(SwapWithCacheTest, CachedBlocksAreNotCopied) {
  const StepPlan out = preempt(info());
  ASSERT_EQ(out.swapped_out.size(), 2U);
  answer(out);
  for (int step = 0; step < 16; ++step) answer(plan());  // the first one takes a fourth block: the second one's last
  answer(plan(), 1000, FinishReason::kStop);
  const StepPlan in = plan();
  ASSERT_EQ(in.new_sequences.size(), 1U);
  EXPECT_EQ(in.new_sequences[0].num_computed, 32);
  ASSERT_EQ(in.swapped_in.size(), 1U);
  EXPECT_EQ(in.new_sequences[0].blocks[0], BlockId(2)) << "found";
  EXPECT_EQ(in.swapped_in[0].destination, in.new_sequences[0].blocks[1]);
}

}  // namespace
}  // namespace caudal
