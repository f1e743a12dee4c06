// Preempted sequences whose KV goes to host memory and comes back, by example. Two sequences of 30 tokens on a replica
// of 5 blocks: when both need a third block, the second one leaves.
#include "tests/coordinator/scheduler/scheduler_fixture.h"

namespace caudal {
namespace {

class TransfersTest : public testing::Test {
 protected:
  explicit TransfersTest(bool prefix_caching = false)
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
  void answer(const StepPlan& plan, std::int64_t compute_us = 1000, FinishReason end_of_first = FinishReason::kNone,
              std::vector<TransferId> ended = {}) {
    StepResult result{.epoch = plan.epoch, .step_id = plan.step_id, .sequences = {}, .compute_us = compute_us};
    result.ended_transfers = std::move(ended);
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
  // The same, and the transfers that it starts have ended.
  void answer_with_ends(const StepPlan& plan, FinishReason end_of_first = FinishReason::kNone) {
    std::vector<TransferId> ended;
    for (const TransferToHost& transfer : plan.transfers_to_host) ended.push_back(transfer.id);
    for (const TransferFromHost& transfer : plan.transfers_from_host) ended.push_back(transfer.id);
    answer(plan, 1000, end_of_first, ended);
  }
  // The plan in which the second sequence has left with 32 tokens computed. What it has on the device is overwritten by
  // nobody yet.
  StepPlan preempt(const ReplicaInfo& info, std::int64_t compute_us = 1000) {
    begin(info);
    for (int step = 0; step < 3; ++step) answer(plan(), compute_us);
    return plan();
  }

  // The first sequence goes on and ends after it has had every block, so that only the host has the second one's.
  void use_up_device(const StepPlan& next) {
    answer(next);
    for (int step = 0; step < 30; ++step) answer(plan());
    answer(plan(), 1000, FinishReason::kStop);
  }
  // The plan that brings the second sequence back, when it is alone.
  StepPlan bring_back() {
    const StepPlan out = preempt(info());
    answer_with_ends(out);
    use_up_device(plan());
    StepPlan in = plan();
    EXPECT_EQ(in.transfers_from_host.size(), 1U);
    return in;
  }

  Scheduler scheduler_;
  std::map<SlotId, std::int32_t> num_computed_;
  std::map<SlotId, SequenceId> ids_;
};

// The second sequence leaves; its two blocks stay its own until they are copied, so the first one waits for its third.
TEST_F(TransfersTest, GoesOutBesideTheStepsAndComesBack) {
  const StepPlan out = preempt(info());
  ASSERT_EQ(out.transfers_to_host.size(), 1U);
  ASSERT_EQ(out.transfers_to_host[0].copies.size(), 2U);
  EXPECT_EQ(out.transfers_to_host[0].copies[0].source, BlockId(2));
  EXPECT_EQ(out.transfers_to_host[0].copies[1].source, BlockId(3));
  EXPECT_EQ(out.scheduled.size(), 1U) << "the first one has taken the fifth block";
  ReplicaStats stats = scheduler_.replica_stats(1);
  EXPECT_EQ(stats.num_transfers, 1);
  EXPECT_EQ(stats.num_used_host_blocks, 2);
  EXPECT_EQ(stats.num_used_blocks, 3 + 2) << "they are still read";
  answer_with_ends(out);
  EXPECT_EQ(scheduler_.replica_stats(1).num_transfers, 0);
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 3);
  const StepPlan next = plan();
  EXPECT_EQ(next.confirmed_transfers, std::vector<TransferId>{1});
  EXPECT_TRUE(next.new_sequences.empty()) << "it would be preempted at once";
  use_up_device(next);
  const StepPlan in = plan();
  ASSERT_EQ(in.new_sequences.size(), 1U);
  EXPECT_EQ(in.new_sequences[0].num_computed, 32);
  EXPECT_EQ(in.new_sequences[0].tokens.size(), 33U);
  ASSERT_EQ(in.transfers_from_host.size(), 1U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(in.transfers_from_host[0].copies[i].source, out.transfers_to_host[0].copies[i].destination);
    EXPECT_EQ(in.transfers_from_host[0].copies[i].destination, in.new_sequences[0].blocks[i]);
  }
  EXPECT_TRUE(in.scheduled.empty()) << "its blocks have to arrive first";
  EXPECT_EQ(scheduler_.replica_stats(1).num_arriving, 1);
  EXPECT_FALSE(scheduler_.plan(1, 0)) << "the plan waits for the end already";
  answer_with_ends(in);
  const StepPlan on = plan();
  EXPECT_EQ(on.confirmed_transfers, std::vector<TransferId>{2});
  ASSERT_EQ(on.scheduled.size(), 1U);
  EXPECT_EQ(on.scheduled[0].num_tokens, 1);
  stats = scheduler_.replica_stats(1);
  EXPECT_EQ(stats.num_arriving, 0);
  EXPECT_EQ(stats.num_used_host_blocks, 2) << "kept for the next time";
  EXPECT_EQ(stats.num_sequences_to_host, 1U);
  EXPECT_EQ(stats.num_sequences_from_host, 1U);
  EXPECT_EQ(stats.num_blocks_to_host, 2U);
  EXPECT_EQ(stats.num_blocks_from_host, 2U);
}

// A new request never waits behind a copy: the next plan can be sent, and ends the one that waits.
TEST_F(TransfersTest, AWaitingPlanHoldsUpNobody) {
  const StepPlan in = bring_back();
  ASSERT_EQ(scheduler_.submit(request(9, 5, 4), 0), RejectReason::kNone);
  const StepPlan other = plan();
  ASSERT_EQ(other.scheduled.size(), 1U);
  EXPECT_EQ(other.new_sequences.at(0).sequence_id, 3U);
  answer(in);  // nothing has ended yet
  EXPECT_EQ(scheduler_.replica_stats(1).num_arriving, 1);
  answer(other, 1000, FinishReason::kNone, {in.transfers_from_host[0].id});
  EXPECT_EQ(plan().scheduled.size(), 2U);
}

// Its blocks are written until the transfer has ended, whoever has left.
TEST_F(TransfersTest, ACancelWhileBlocksArriveFreesThemAtTheEnd) {
  const StepPlan in = bring_back();
  scheduler_.cancel(2, 0);
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 2);
  EXPECT_EQ(scheduler_.replica_stats(1).num_running, 0);
  answer_with_ends(in);
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 0);
  EXPECT_FALSE(scheduler_.plan(1, 0)) << "an end that nobody waits for needs no plan";
}

// With a plan in flight its blocks are still written: it goes out with the plan after the answer.
TEST_F(TransfersTest, WaitsForThePlanInFlight) {
  begin(info());
  StepPlan before = plan();
  for (int step = 0; step < 2; ++step) {
    const StepPlan next = plan();
    answer(before);
    before = next;
  }
  const StepPlan third = plan();  // the second sequence leaves; its last plan is unanswered
  EXPECT_EQ(third.scheduled.size(), 1U);
  EXPECT_TRUE(third.transfers_to_host.empty());
  answer(before);
  EXPECT_EQ(plan().transfers_to_host.size(), 1U);
}

TEST_F(TransfersTest, IsComputedAgainWhereNothingIsKnown) {
  EXPECT_TRUE(preempt(info(8, 1000), 0).transfers_to_host.empty()) << "no step was measured";
}

TEST_F(TransfersTest, IsComputedAgainWhereCopiesAreSlow) {
  EXPECT_TRUE(preempt(info(8, 300'000)).transfers_to_host.empty()) << "600 us; 32 tokens take 533";
}

TEST_F(TransfersTest, IsComputedAgainWithoutRoomOnTheHost) {
  const StepPlan out = preempt(info(1));
  EXPECT_TRUE(out.transfers_to_host.empty());
  answer(out, 1000, FinishReason::kStop);
  const StepPlan again = plan();
  EXPECT_EQ(again.new_sequences.at(0).num_computed, 0);
  EXPECT_TRUE(again.transfers_from_host.empty());
}

TEST_F(TransfersTest, AnIdleReplicaComputesItAgain) {
  const StepPlan out = preempt(info());
  answer_with_ends(out);
  scheduler_.replica_joined(2, 2, replica(40), 0);
  const StepPlan again = plan(2);
  ASSERT_EQ(again.new_sequences.size(), 1U);
  EXPECT_EQ(again.new_sequences[0].sequence_id, 2U);
  EXPECT_EQ(again.new_sequences[0].num_computed, 0);
}

TEST_F(TransfersTest, ALostReplicaTakesItsTransfersAlong) {
  preempt(info());
  EXPECT_EQ(scheduler_.replica_stats(1).num_transfers, 1);
  scheduler_.replica_lost(1, 0);
  EXPECT_EQ(scheduler_.replica_stats(1).num_transfers, 0);
  scheduler_.replica_joined(1, 3, info(), 0);
  const StepPlan again = plan();
  EXPECT_TRUE(again.transfers_from_host.empty());
  for (const NewSequence& sequence : again.new_sequences) EXPECT_EQ(sequence.num_computed, 0);
}

// Without a cache nobody finds what another one has kept, though the prompts are the same.
TEST_F(TransfersTest, NobodyElseFindsIt) {
  const StepPlan out = preempt(info());
  answer_with_ends(out, FinishReason::kStop);
  scheduler_.cancel(2, 0);
  ASSERT_EQ(scheduler_.submit(request(7, 40, 40), 0), RejectReason::kNone);
  const StepPlan other = plan();
  EXPECT_EQ(other.new_sequences.at(0).num_computed, 0);
  EXPECT_TRUE(other.transfers_from_host.empty());
}

class TransfersWithCacheTest : public TransfersTest {
 protected:
  TransfersWithCacheTest() : TransfersTest(true) {}
};

// Only what the device has lost comes from the host, and everybody with these tokens finds it.
TEST_F(TransfersWithCacheTest, CachedBlocksAreNotCopied) {
  const StepPlan out = preempt(info());
  ASSERT_EQ(out.transfers_to_host.size(), 1U);
  answer_with_ends(out);
  for (int step = 0; step < 16; ++step) answer(plan());  // the first one takes a fourth block: the second one's last
  answer(plan(), 1000, FinishReason::kStop);
  const StepPlan in = plan();
  ASSERT_EQ(in.new_sequences.size(), 1U);
  EXPECT_EQ(in.new_sequences[0].num_computed, 32);
  ASSERT_EQ(in.transfers_from_host.size(), 1U);
  ASSERT_EQ(in.transfers_from_host[0].copies.size(), 1U);
  EXPECT_EQ(in.new_sequences[0].blocks[0], BlockId(2)) << "found";
  EXPECT_EQ(in.transfers_from_host[0].copies[0].destination, in.new_sequences[0].blocks[1]);
}

}  // namespace
}  // namespace caudal
