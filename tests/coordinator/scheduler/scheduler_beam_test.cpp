// Beam search in the scheduler, by example: who computes what, which blocks are shared, copied and given back.
#include <limits>

#include "tests/coordinator/scheduler/scheduler_fixture.h"

namespace caudal {
namespace {

// A worker's candidates, most likely first: log-probabilities of -0.1, -0.2, ... lower by `worse`.
std::vector<TokenLogprob> candidates(std::vector<TokenId> tokens, float worse = 0.0F) {
  std::vector<TokenLogprob> told;
  for (const TokenId token : tokens) told.push_back({token, -worse - 0.1F * static_cast<float>(told.size() + 1)});
  return told;
}

class BeamTest : public SchedulerTest {
 protected:
  static Request beams(std::int32_t num_prompt, std::int32_t width = 3, std::int32_t max_tokens = 100) {
    Request r = request(1, num_prompt, max_tokens);
    r.beam = BeamParams{.width = width};
    r.params.stop.stop_token_ids = {0};
    return r;
  }
  static SequenceResult told(SlotId slot, SequenceId id, std::int32_t num_computed, std::vector<TokenLogprob> next) {
    SequenceResult result = line(slot, id, num_computed, {});
    result.candidates = std::move(next);
    return result;
  }
  // The answer of sequence `id` to its line of the plan.
  static SequenceResult told(const StepPlan& step, SequenceId id, std::int32_t num_computed,
                             std::vector<TokenLogprob> next) {
    return told(slot_of(step, id), id, num_computed, std::move(next));
  }
  static SlotId slot_of(const StepPlan& step, SequenceId id) {
    for (const NewSequence& entering : step.new_sequences) {
      if (entering.sequence_id == id) return entering.slot;
    }
    return SlotId::of(id - 1);
  }
  // Submits and brings all beams to their first token: 5, 6 and 7.
  StepPlan start(Request r) {
    const auto num_prompt = static_cast<std::int32_t>(r.prompt.size());
    submit(std::move(r));
    const StepPlan first = plan();
    EXPECT_EQ(first.new_sequences.size(), 1U) << "the prompt is computed once";
    EXPECT_FALSE(has_plan()) << "nothing can be chosen before the answer";
    EXPECT_TRUE(apply(first, {told(0, 1, num_prompt, candidates({5, 6, 7, 8}))}));
    return plan();
  }
  std::int32_t num_used() { return scheduler_.replica_stats(1).num_used_blocks; }
};

TEST_F(BeamTest, BeamsShareThePromptAndCopyItsLastBlock) {
  join();
  const StepPlan second = start(beams(40));
  ASSERT_EQ(second.new_sequences.size(), 2U);
  ASSERT_EQ(second.block_copies.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    const NewSequence& beam = second.new_sequences[i];
    EXPECT_TRUE(beam.is_beam);
    EXPECT_EQ(beam.num_computed, 40);
    EXPECT_EQ(beam.tokens.back(), static_cast<TokenId>(6 + i));
    EXPECT_EQ(beam.params.sampling.num_logprobs, 4) << "three that go on, and a stop";
    EXPECT_EQ(second.block_copies[i].destination, beam.blocks[2]);
  }
  EXPECT_EQ(second.scheduled[0].next_token, 5);
  EXPECT_EQ(num_used(), 5) << "two full blocks for all, one each";
}

TEST_F(BeamTest, ABeamThatLosesGoesOnFromAnother) {
  join();
  const StepPlan second = start(beams(40));
  // The two best continuations are of the first beam, the third is of the third.
  ASSERT_TRUE(
      apply(second, {told(second, 1, 41, candidates({1, 2, 3, 4})), told(second, 2, 41, candidates({1, 2, 3, 4}, 5)),
                     told(second, 3, 41, candidates({1, 2, 3, 4}, -0.05F))}));
  EXPECT_TRUE(scheduler_.take_events().empty()) << "a search tells nothing before its end";
  const StepPlan third = plan();
  ASSERT_EQ(third.new_sequences.size(), 1U);
  const NewSequence& moved = third.new_sequences[0];
  EXPECT_EQ(moved.sequence_id, 2U);
  EXPECT_EQ(third.released, std::vector<SlotId>{moved.slot}) << "it keeps its slot";
  EXPECT_EQ(moved.num_computed, 41);
  EXPECT_EQ((std::vector<TokenId>{moved.tokens.end() - 2, moved.tokens.end()}), (std::vector<TokenId>{5, 2}));
  ASSERT_EQ(third.block_copies.size(), 1U);
  EXPECT_EQ(third.scheduled.size(), 3U);
  EXPECT_EQ(num_used(), 5);
}

TEST_F(BeamTest, NothingIsChosenBeforeAllHaveTold) {
  scheduler_.replica_joined(
      1, 1,
      [] {
        ReplicaInfo info = replica();
        info.max_tokens_per_step = 2;
        return info;
      }(),
      0);
  submit(beams(2));
  StepPlan step = plan();
  ASSERT_TRUE(apply(step, {told(0, 1, 2, candidates({5, 6, 7, 8}))}));
  const StepPlan two = plan();
  EXPECT_EQ(two.scheduled.size(), 2U) << "a step holds no more";
  ASSERT_TRUE(apply(two, {told(two, 1, 3, candidates({1, 2, 3, 4})), told(two, 2, 3, candidates({1, 2, 3, 4}))}));
  const StepPlan last = plan();
  ASSERT_EQ(last.scheduled.size(), 1U) << "the first two wait for the third";
  EXPECT_FALSE(has_plan());
  ASSERT_TRUE(apply(last, {told(last, 3, 3, candidates({1, 2, 3, 4}))}));
  EXPECT_TRUE(has_plan());
}

TEST_F(BeamTest, TellsTheBestAtTheEndAndGivesAllBlocksBack) {
  join();
  Request r = beams(40, 3, 2);
  r.num_sequences = 2;
  const StepPlan second = start(std::move(r));
  ASSERT_TRUE(
      apply(second, {told(second, 1, 41, candidates({0, 2, 3, 4}, 0.5F)), told(second, 2, 41, candidates({1, 2, 3, 4})),
                     told(second, 3, 41, candidates({1, 2, 3, 4}, 5))}));
  const std::vector<TokenEvent> events = scheduler_.take_events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].tokens, (std::vector<TokenId>{6, 1}));
  EXPECT_EQ(events[0].finish_reason, FinishReason::kLength);
  EXPECT_EQ(events[1].tokens, (std::vector<TokenId>{6, 2}));
  EXPECT_EQ(events[1].sequence_index, 1);
  EXPECT_EQ(num_used(), 0);
  const SchedulerStats stats = scheduler_.stats();
  EXPECT_EQ(stats.num_finished, 3U);
  EXPECT_EQ(stats.num_generated_tokens, 4U);
}

TEST_F(BeamTest, OneThatFailsFailsAll) {
  join();
  const StepPlan second = start(beams(40));
  ASSERT_TRUE(apply(
      second, {told(second, 1, 41, candidates({1, 2, 3, 4})), line(slot_of(second, 2), 2, 41, {}, FinishReason::kError),
               told(second, 3, 41, candidates({1, 2, 3, 4}))}));
  const std::vector<TokenEvent> events = scheduler_.take_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].reject, RejectReason::kWorkerFault);
  EXPECT_EQ(num_used(), 0);
}

TEST_F(BeamTest, CandidatesThatMakeNoSenseAreAWorkersFault) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Scheduler scheduler{SchedulerConfig{}};
    scheduler.replica_joined(1, 1, replica(), 0);
    ASSERT_EQ(scheduler.submit(beams(4), 0), RejectReason::kNone);
    const auto step = scheduler.plan(1, 0);
    ASSERT_TRUE(step && scheduler.apply(1, answer(*step, {told(0, 1, 4, {{5, bad}})}), 0));
    EXPECT_EQ(scheduler.take_events().at(0).reject, RejectReason::kWorkerFault);
  }
}

TEST_F(BeamTest, CancelsOfAllChoicesEndTheSearch) {
  join();
  Request r = beams(40);
  r.num_sequences = 2;
  const StepPlan second = start(std::move(r));
  scheduler_.cancel(1, 0, 0);
  scheduler_.check_integrity();
  EXPECT_EQ(scheduler_.stats().num_running, 3) << "somebody waits for the other choice";
  scheduler_.cancel(1, 2, 0);  // there is none
  scheduler_.cancel(1, 1, 0);
  EXPECT_EQ(scheduler_.stats().num_running, 0);
  ASSERT_TRUE(apply(second, {}));
  EXPECT_EQ(num_used(), 0);
  EXPECT_TRUE(scheduler_.take_events().empty());
}

TEST_F(BeamTest, BeamsLeaveAndComeBackTogether) {
  join();
  const StepPlan second = start(beams(40));
  scheduler_.replica_lost(1, 0);
  scheduler_.check_integrity();
  EXPECT_EQ(scheduler_.stats().num_waiting, 3);
  join(2);
  const StepPlan again = plan(2);
  ASSERT_EQ(again.new_sequences.size(), 1U) << "the others share what it computes";
  EXPECT_EQ(again.new_sequences[0].tokens.size(), 41U);
  ASSERT_TRUE(apply(again, {told(again, 1, 41, candidates({1, 2, 3, 4}))}, 2));
  const StepPlan others = plan(2);
  ASSERT_EQ(others.new_sequences.size(), 2U);
  for (const NewSequence& beam : others.new_sequences) EXPECT_EQ(beam.num_computed, 40);
  EXPECT_EQ(scheduler_.replica_stats(2).num_prompt_tokens_computed, 40U);
}

TEST_F(BeamTest, RoomIsForAllBeamsOrNone) {
  ReplicaInfo small = replica(8);
  small.max_num_sequences = 4;
  join(1, small);
  EXPECT_EQ(scheduler_.submit(beams(4, 5, 8), 0), RejectReason::kTooMany) << "five slots";
  EXPECT_EQ(scheduler_.submit(beams(16, 4, 32), 0), RejectReason::kTooLong) << "nine blocks";
  submit(request(2, 4, 8));
  Request later = beams(4, 4, 8);
  later.arrival = 3;
  submit(std::move(later));
  ASSERT_EQ(plan().new_sequences.size(), 1U) << "three slots are left";
  EXPECT_EQ(scheduler_.stats().num_waiting, 4);
}

// Two beams, of which the second has no tokens until the first has two continuations. By then a long sequence holds
// the blocks that it needs, and is still at work.
TEST_F(BeamTest, ABeamThatCannotEnterChangesNothing) {
  join(1, replica(6));
  submit(beams(15, 2, 20));
  const StepPlan prompt = plan();
  ASSERT_TRUE(apply(prompt, {told(0, 1, 15, candidates({5}))}));
  submit(request(2, 48, 10));
  const StepPlan first = plan();
  ASSERT_EQ(first.scheduled.size(), 2U);
  const StepPlan second = plan();
  ASSERT_TRUE(apply(first, {told(0, 1, 16, candidates({5})), line(2, 3, 48, {7})}));
  const StepPlan third = plan();
  ASSERT_TRUE(apply(second, {line(2, 3, 49, {7})}));
  const StepPlan fourth = plan();
  EXPECT_EQ(num_used(), 6) << "all of them";
  ASSERT_TRUE(apply(third, {told(0, 1, 17, candidates({5, 6})), line(2, 3, 50, {7})}));

  const StepPlan without = plan();
  ASSERT_EQ(without.scheduled.size(), 1U) << "the first beam";
  EXPECT_EQ(without.scheduled[0].slot, SlotId(0));
  EXPECT_TRUE(without.new_sequences.empty());
  EXPECT_TRUE(without.block_copies.empty());
  EXPECT_TRUE(without.released == std::vector<SlotId>{2}) << "the long one leaves, the beam keeps its slot";
  EXPECT_EQ(num_used(), 6);

  ASSERT_TRUE(apply(fourth, {line(2, 3, 51, {7})}));
  const StepPlan with = plan();
  ASSERT_EQ(with.new_sequences.size(), 1U);
  EXPECT_EQ(with.new_sequences[0].slot, SlotId(1));
  EXPECT_EQ(with.new_sequences[0].num_computed, 17);
  EXPECT_EQ(with.block_copies.size(), 1U);
  EXPECT_EQ(num_used(), 3);
}

// The first beam can only stop, so the search goes on from the second alone.
TEST_F(BeamTest, WithFewerCandidatesThanBeamsTheFirstGoesOnFromTheLastThatIsLeft) {
  join();
  const StepPlan second = start(beams(40, 2));
  ASSERT_TRUE(apply(second, {told(second, 1, 41, candidates({0})), told(second, 2, 41, candidates({9}))}));
  scheduler_.check_integrity();
  const StepPlan third = plan();
  ASSERT_EQ(third.new_sequences.size(), 1U);
  EXPECT_EQ(third.new_sequences[0].sequence_id, 1U);
  EXPECT_EQ((std::vector<TokenId>{third.new_sequences[0].tokens.end() - 2, third.new_sequences[0].tokens.end()}),
            (std::vector<TokenId>{6, 9}));
  EXPECT_EQ(third.new_sequences[0].num_computed, 41);
  ASSERT_EQ(third.scheduled.size(), 1U);
  scheduler_.check_integrity();
  ASSERT_TRUE(apply(third, {told(third, 1, 42, candidates({3, 4}))}));
  EXPECT_EQ(plan().scheduled.size(), 2U) << "the second position is used again";
  scheduler_.check_integrity();
}

// Beams of a lost replica come to one where somebody else has had all that the first of them has said. Where a window
// hides blocks, a prefix that ends behind the prompt lacks some that the other beam sees, which forks from the first
// one at the end of the prompt. So the first one takes the prompt's alone.
class BeamPrefixTest : public BeamTest, public testing::WithParamInterface<std::vector<std::int32_t>> {};

TEST_P(BeamPrefixTest, BehindAWindowOnlyThePromptComesFromTheCache) {
  const std::vector<std::int32_t>& windows = GetParam();
  const bool has_window = std::ranges::count(windows, 0) < std::ssize(windows);
  ReplicaInfo info = replica();
  info.kv_windows = windows;
  info.max_num_sequences = 2;  // the first replica has room for the beams alone
  join(1, info);
  submit(beams(40, 2));
  StepPlan step = plan();
  ASSERT_TRUE(apply(step, {told(0, 1, 40, candidates({5, 6}))}));
  for (std::int32_t num_computed = 41; num_computed < 65; ++num_computed) {
    step = plan();
    ASSERT_TRUE(
        apply(step, {told(step, 1, num_computed, candidates({7})), told(step, 2, num_computed, candidates({8}))}));
  }

  join(2, info, 2);
  Request same = request(2, 40, 1);
  same.prompt.assign(40, 1);
  same.prompt.push_back(5);
  same.prompt.resize(65, 7);
  submit(std::move(same));
  ASSERT_TRUE(apply(plan(2), {line(0, 3, 64, {})}, 2));
  ASSERT_TRUE(apply(plan(2), {line(0, 3, 65, {9}, FinishReason::kLength)}, 2));
  scheduler_.replica_lost(1, 0);
  scheduler_.check_integrity();

  const StepPlan again = plan(2);
  ASSERT_EQ(again.new_sequences.size(), 1U);
  const NewSequence& first = again.new_sequences[0];
  ASSERT_EQ(first.tokens.size(), 65U);
  EXPECT_EQ(first.tokens.back(), 7);
  EXPECT_EQ(first.num_computed, has_window ? 32 : 64);
  EXPECT_EQ(std::ranges::count(first.blocks, kNoBlock), 0) << "the other beam reads all of them";
  ASSERT_TRUE(apply(again, {told(again, 1, 65, candidates({7}))}, 2));
  const StepPlan other = plan(2);
  ASSERT_EQ(other.new_sequences.size(), 1U);
  EXPECT_EQ(other.new_sequences[0].num_computed, 40) << "a fork";
  const std::size_t num_shared = 2 * windows.size();
  for (std::size_t i = 0; i < num_shared; ++i) EXPECT_EQ(other.new_sequences[0].blocks[i], first.blocks[i]);
  EXPECT_EQ(other.block_copies.size(), windows.size()) << "the last block of the prompt";
}

INSTANTIATE_TEST_SUITE_P(Windows, BeamPrefixTest,
                         testing::Values(std::vector<std::int32_t>{0}, std::vector<std::int32_t>{40},
                                         std::vector<std::int32_t>{0, 40}));

TEST_F(BeamTest, ATenantWaitsWithAllItsBeams) {
  submit(beams(40, 3));
  EXPECT_EQ(scheduler_.stats().num_waiting, 3);
  EXPECT_EQ(scheduler_.tenants().all().at("").num_waiting, 3);
}

}  // namespace
}  // namespace caudal
