// The scheduler by example. The random test covers the combinations; here stands what is meant.
#include "tests/coordinator/scheduler/scheduler_fixture.h"

#include <map>

namespace caudal {
namespace {

TEST_F(SchedulerTest, ARequestFromPromptToEnd) {
  join();
  submit(request(7, 20));
  const StepPlan first = plan();
  ASSERT_EQ(first.new_sequences.size(), 1U);
  EXPECT_EQ(first.step_id, 1U);
  EXPECT_EQ(first.new_sequences[0].tokens.size(), 20U);
  EXPECT_EQ(first.new_sequences[0].blocks.size(), 2U);
  EXPECT_EQ(first.scheduled[0].num_tokens, 20);
  const SlotId slot = first.scheduled[0].slot;

  ASSERT_TRUE(apply(first, {line(slot, 1, 20, {5})}));
  const StepPlan second = plan();
  EXPECT_TRUE(second.new_sequences.empty());
  EXPECT_EQ(second.scheduled[0].num_tokens, 1);
  ASSERT_TRUE(apply(second, {line(slot, 1, 21, {6}, FinishReason::kStop)}));

  const auto events = scheduler_.take_events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].tokens, std::vector<TokenId>{5});
  EXPECT_EQ(events[0].finish_reason, FinishReason::kNone);
  EXPECT_EQ(events[1].request_id, 7U);
  EXPECT_EQ(events[1].finish_reason, FinishReason::kStop);
  EXPECT_FALSE(has_plan()) << "slots to release are not worth a plan of their own";
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 0);

  submit(request(8, 1));
  const StepPlan third = plan();
  EXPECT_EQ(third.released, std::vector<SlotId>{slot});
  EXPECT_EQ(third.new_sequences[0].slot, slot) << "released first, so it can be taken at once";
}

TEST_F(SchedulerTest, PlansTheNextTokenBeforeTheLastIsKnown) {
  join();
  submit(request(1, 16));
  const StepPlan first = plan();
  const StepPlan second = plan();
  ASSERT_EQ(second.scheduled.size(), 1U);
  EXPECT_EQ(second.scheduled[0].num_tokens, 1);
  EXPECT_EQ(second.scheduled[0].new_blocks.size(), 1U) << "the 17th token needs a second block";
  EXPECT_FALSE(has_plan()) << "two are in flight";
  // It stops in the first step: the worker skips it in the second, whose answer says nothing about it.
  ASSERT_TRUE(apply(first, {line(0, 1, 16, {5}, FinishReason::kStop)}));
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 2) << "the second plan still names its blocks";
  ASSERT_TRUE(apply(second, {}));
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 0);
  EXPECT_EQ(scheduler_.take_events().size(), 1U);
}

TEST_F(SchedulerTest, NeverPlansPastMaxTokens) {
  join();
  submit(request(1, 10, 2));
  const StepPlan first = plan();
  const StepPlan second = plan();
  ASSERT_TRUE(apply(first, {line(0, 1, 10, {5})}));
  EXPECT_FALSE(has_plan()) << "the second token is on its way, and nothing comes after it";
  ASSERT_TRUE(apply(second, {line(0, 1, 11, {6}, FinishReason::kLength)}));
}

TEST_F(SchedulerTest, DecodesGoFirstAndAPromptFillsTheRest) {
  join();
  submit(request(1, 8));
  const StepPlan first = plan();
  submit(request(2, 100));
  const StepPlan second = plan();
  ASSERT_EQ(second.scheduled.size(), 2U);
  EXPECT_EQ(second.scheduled[0].num_tokens, 1);
  EXPECT_EQ(second.scheduled[1].num_tokens, 63);
  EXPECT_EQ(second.new_sequences[0].blocks.size(), 7U) << "the whole prompt has its blocks";
  ASSERT_TRUE(apply(first, {line(0, 1, 8, {5})}));
  const StepPlan third = plan();
  EXPECT_EQ(third.scheduled[1].num_tokens, 37) << "the rest, while the first chunk is not answered yet";
}

TEST_F(SchedulerTest, SequencesOfOneRequestDrawWithTheirOwnSeeds) {
  join();
  Request r = request(1, 4);
  r.num_sequences = 3;
  r.params.sampling.seed = 9;
  submit(std::move(r));
  const StepPlan first = plan();
  ASSERT_EQ(first.new_sequences.size(), 3U);
  for (std::int32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(first.new_sequences[i].params.sampling.seed, sequence_seed(9, i));
  }
  EXPECT_EQ(scheduler_.stats().num_running, 3);
  scheduler_.cancel(1, 0);
  EXPECT_EQ(scheduler_.stats().num_cancelled, 3U);
  EXPECT_EQ(scheduler_.stats().num_running, 0);
}

TEST_F(SchedulerTest, RefusesWhatCanNeverFitAndWhatIsTooMuch) {
  EXPECT_EQ(scheduler_.submit(request(1, 10000), 0), RejectReason::kNone) << "no replica is known yet";
  join(1, replica(4));
  const auto events = scheduler_.take_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].reject, RejectReason::kTooLong);
  EXPECT_EQ(scheduler_.submit(request(2, 30, 35), 0), RejectReason::kTooLong);
  EXPECT_EQ(scheduler_.submit(request(2, 30, 34), 0), RejectReason::kNone);
  join(2, replica(64));
  EXPECT_EQ(scheduler_.submit(request(3, 30, 35), 0), RejectReason::kNone) << "one replica is enough";

  Scheduler small(SchedulerConfig{.max_waiting = 3});
  Request three = request(1, 1);
  three.num_sequences = 3;
  EXPECT_EQ(small.submit(three, 0), RejectReason::kNone);
  EXPECT_EQ(small.submit(request(2, 1), 0), RejectReason::kQueueFull);
  Request four = request(3, 1);
  four.num_sequences = 4;
  EXPECT_EQ(small.submit(four, 0), RejectReason::kTooMany) << "waiting would not help";
}

TEST_F(SchedulerTest, ADeadlineIsForTheStartOnly) {
  for (const RequestId id : {1, 2}) {
    Request r = request(id, 40);
    r.deadline = 50;
    submit(std::move(r));
  }
  join(1, ReplicaInfo{.num_blocks = 64,
                      .max_num_sequences = 1,
                      .max_tokens_per_step = 64,
                      .max_context_tokens = 512,
                      .model_digest = {}});
  const StepPlan first = plan();
  scheduler_.replica_lost(1, 40);
  scheduler_.expire(60);
  const auto events = scheduler_.take_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].request_id, 2U);
  EXPECT_EQ(events[0].reject, RejectReason::kDeadline);
  EXPECT_EQ(scheduler_.stats().num_waiting, 1);
}

TEST_F(SchedulerTest, TakesEachAnswerOnceAndInOrder) {
  join();
  submit(request(1, 4));
  const StepPlan first = plan();
  const StepPlan second = plan();
  EXPECT_FALSE(apply(second, {line(0, 1, 5, {6})})) << "the first is not answered";
  StepPlan other_epoch = first;
  other_epoch.epoch = 9;
  EXPECT_FALSE(apply(other_epoch, {line(0, 1, 4, {5})}));
  EXPECT_FALSE(apply(first, {line(0, 1, 4, {5})}, 2)) << "no such replica";
  EXPECT_TRUE(apply(first, {line(0, 1, 4, {5})}));
  EXPECT_FALSE(apply(first, {line(0, 1, 4, {5})}));
  EXPECT_TRUE(apply(second, {line(0, 1, 5, {6})}));
  EXPECT_EQ(scheduler_.take_events().size(), 2U);
}

TEST_F(SchedulerTest, AnImpossibleAnswerEndsOnlyItsSequence) {
  join();
  const std::vector<SequenceResult> nonsense = {
      line(0, 99, 4, {5}),                           // another sequence's
      line(0, 1, 5, {5}),                            // computed more than was there
      line(0, 1, -1, {5}),                           // went back
      line(0, 1, 4, {5, 6}),                         // more tokens than one step samples
      line(7, 1, 4, {5}),                            // in a slot that was not scheduled: so slot 0 has no entry
      line(0, 1, 4, {}, FinishReason::kError),       // NaN logits
      {0, 1, 4, {5}, FinishReason::kNone, {{}, {}}}  // more logprobs than tokens
  };
  for (std::size_t i = 0; i < nonsense.size(); ++i) {
    SCOPED_TRACE(i);
    Scheduler scheduler(SchedulerConfig{});
    scheduler.replica_joined(1, 1, replica(), 0);
    for (const RequestId id : {1, 2}) ASSERT_EQ(scheduler.submit(request(id, 4), 0), RejectReason::kNone);
    const auto first = scheduler.plan(1, 0);
    ASSERT_TRUE(scheduler.apply(1, answer(*first, {nonsense[i], line(1, 2, 4, {8})}), 0));
    const auto events = scheduler.take_events();
    ASSERT_EQ(events.size(), 2U);
    EXPECT_EQ(events[0].finish_reason, FinishReason::kError);
    EXPECT_EQ(events[0].reject, RejectReason::kWorkerFault);
    EXPECT_TRUE(events[0].tokens.empty());
    EXPECT_EQ(events[1].tokens, std::vector<TokenId>{8});
    scheduler.check_integrity();
  }
}

TEST_F(SchedulerTest, CancelKeepsBlocksUntilTheirPlansAreAnswered) {
  join();
  submit(request(1, 20));
  const StepPlan first = plan();
  scheduler_.cancel(1, 0);
  scheduler_.cancel(1, 0);
  scheduler_.cancel(99, 0);
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 2);
  ASSERT_TRUE(apply(first, {line(0, 1, 20, {5})}));
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 0);
  EXPECT_TRUE(scheduler_.take_events().empty());
}

TEST_F(SchedulerTest, CancelsOneSequenceOfARequest) {
  join();
  Request r = request(1, 10);
  r.num_sequences = 2;
  submit(std::move(r));
  StepPlan step = plan();
  scheduler_.cancel(1, 0, 0);
  scheduler_.cancel(1, 0, 0);
  scheduler_.cancel(1, 2, 0);
  scheduler_.cancel(99, 0, 0);
  EXPECT_EQ(scheduler_.stats().num_cancelled, 1U);
  EXPECT_EQ(scheduler_.stats().num_running, 1);
  ASSERT_TRUE(apply(step, {line(0, 1, 10, {5}), line(1, 2, 10, {6})}));
  const auto events = scheduler_.take_events();
  ASSERT_EQ(events.size(), 1U) << "none for the cancelled one";
  EXPECT_EQ(events[0].sequence_index, 1);
  EXPECT_EQ(events[0].tokens, std::vector<TokenId>{6});
  step = plan();
  scheduler_.cancel(1, 1, 0);
  EXPECT_EQ(scheduler_.stats().num_running, 0);
  ASSERT_TRUE(apply(step, {line(1, 2, 11, {7})}));
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 0);
  submit(request(1, 10));  // nothing is left of it: the id is free again
}

TEST_F(SchedulerTest, PreemptsTheYoungestAndKeepsItsTokens) {
  join(1, replica(4));
  submit(request(1, 16, 40));
  submit(request(2, 15, 40));
  StepPlan first = plan();
  ASSERT_EQ(first.new_sequences.size(), 2U);
  StepPlan second = plan();
  ASSERT_TRUE(apply(first, {line(0, 1, 16, {5}), line(1, 2, 15, {6})}));
  std::int32_t computed = 16;
  while (auto next = scheduler_.plan(1, 0)) {
    ++computed;
    ASSERT_TRUE(apply(second, {line(0, 1, computed, {5}), line(1, 2, computed - 1, {6})}));
    second = std::move(*next);
  }
  // Request 1 needs a third block and the pool is full: request 2 leaves, and its blocks are free as soon
  // as its last plan is answered. What that brings is kept and passed on.
  EXPECT_EQ(computed, 31);
  EXPECT_EQ(scheduler_.stats().num_preemptions, 1U);
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 4);
  scheduler_.take_events();
  ASSERT_TRUE(apply(second, {line(0, 1, computed + 1, {5}), line(1, 2, computed, {9})}));
  EXPECT_EQ(scheduler_.take_events()[1].tokens, std::vector<TokenId>{9});
  EXPECT_EQ(scheduler_.stats().num_waiting, 1);
  const StepPlan after = plan();
  EXPECT_EQ(after.released, std::vector<SlotId>{1});
  EXPECT_EQ(after.scheduled.size(), 1U);

  ASSERT_TRUE(apply(after, {line(0, 1, computed + 2, {7}, FinishReason::kStop)}));
  const StepPlan resumed = plan();
  ASSERT_EQ(resumed.new_sequences.size(), 1U);
  EXPECT_EQ(resumed.new_sequences[0].tokens.back(), 9);
  EXPECT_EQ(resumed.new_sequences[0].num_prompt_tokens, 15);
  EXPECT_EQ(resumed.new_sequences[0].num_computed, 16) << "what is still cached";
}

TEST_F(SchedulerTest, AdmissionCountsTheBlocksThatRunningSequencesHaveJustTaken) {
  join(1, replica(4));
  submit(request(1, 16, 40));
  const StepPlan first = plan();
  ASSERT_TRUE(apply(first, {line(0, 1, 16, {5})}));
  submit(request(2, 32, 8));  // 2 blocks and one in reserve: 3 are free until request 1 grows in this plan
  EXPECT_TRUE(plan().new_sequences.empty());
}

TEST_F(SchedulerTest, APreemptionNeverHitsAMoreUrgentSequence) {
  join(1, replica(3));
  Request patient = request(1, 16, 30);
  patient.priority = 1;
  submit(patient);
  submit(request(2, 16, 32));
  const StepPlan first = plan();
  EXPECT_EQ(first.new_sequences[0].sequence_id, 2U) << "the urgent one is first in the queue";
  ASSERT_TRUE(apply(first, {line(0, 2, 16, {5}), line(1, 1, 16, {5})}));
  const StepPlan second = plan();  // the urgent one takes the last block: the older one has to go
  ASSERT_EQ(second.scheduled.size(), 1U);
  EXPECT_EQ(second.scheduled[0].slot, SlotId(0));
  EXPECT_EQ(second.released, std::vector<SlotId>{1});
}

// Two sequences fight over a pool that holds one of them; both grow until they need all of it.
TEST_F(SchedulerTest, AfterSoManyPreemptionsASequenceWaitsForAllItsBlocks) {
  Scheduler scheduler(
      {.max_tokens_per_step = 128, .max_plans_in_flight = 1, .max_preemptions = 1, .prefix_caching = false});
  ReplicaInfo info = replica(8);
  info.max_tokens_per_step = 128;
  scheduler.replica_joined(1, 1, info, 0);
  ASSERT_EQ(scheduler.submit(request(1, 16, 100), 0), RejectReason::kNone);
  ASSERT_EQ(scheduler.submit(request(2, 16, 100), 0), RejectReason::kNone);
  std::map<SequenceId, std::int32_t> num_computed, num_admissions;
  std::map<SlotId, SequenceId> slots;
  for (int step = 0; step < 400; ++step) {
    const auto plan = scheduler.plan(1, 0);
    if (!plan) break;
    for (const NewSequence& entering : plan->new_sequences) {
      slots[entering.slot] = entering.sequence_id;
      num_computed[entering.sequence_id] = 0;
      EXPECT_EQ(entering.blocks.size(), ++num_admissions[entering.sequence_id] == 2 ? 8U : 1U);
    }
    std::vector<SequenceResult> lines;
    for (const ScheduledSequence& scheduled : plan->scheduled) {
      const SequenceId id = slots[scheduled.slot];
      lines.push_back(line(scheduled.slot, id, num_computed[id] += scheduled.num_tokens, {5}));
    }
    ASSERT_TRUE(scheduler.apply(1, answer(*plan, std::move(lines)), 0));
    scheduler.check_integrity();
  }
  EXPECT_EQ(scheduler.stats().num_finished, 2U);
  EXPECT_EQ(scheduler.stats().num_preemptions, 1U);
  EXPECT_EQ(num_admissions[2], 2);
}

TEST_F(SchedulerTest, TenantsShareAndUnknownOnesAreRefused) {
  Scheduler scheduler({.max_tokens_per_step = 16, .tenants = {.weights = {{"a", 1}, {"b", 1}}, .only_known = true}});
  const auto submit_as = [&](RequestId id, const char* tenant) {
    Request r = request(id, 16);
    r.tenant = tenant;
    return scheduler.submit(std::move(r), 0);
  };
  for (const RequestId id : {1, 2, 3}) EXPECT_EQ(submit_as(id, "a"), RejectReason::kNone);
  EXPECT_EQ(submit_as(4, "b"), RejectReason::kNone);
  EXPECT_EQ(submit_as(5, "c"), RejectReason::kUnknownTenant);
  EXPECT_EQ(submit_as(6, ""), RejectReason::kUnknownTenant);
  scheduler.replica_joined(1, 1, replica(), 0);
  EXPECT_EQ(scheduler.plan(1, 0)->new_sequences[0].sequence_id, 1U);
  scheduler.cancel(1, 0);
  EXPECT_EQ(scheduler.plan(1, 0)->new_sequences[0].sequence_id, 4U) << "b has had nothing yet";
  scheduler.check_integrity();
}

TEST_F(SchedulerTest, WhatCannotBeInTimeIsRefusedAtOnce) {
  join();
  submit(request(1, 64, 100));
  StepResult result = answer(plan(), {line(0, 1, 64, {5})});
  result.compute_us = 64'000;  // a millisecond per prompt token: half of it is believed
  ASSERT_TRUE(scheduler_.apply(1, std::move(result), 0));
  const auto submit_due = [&](RequestId id, Time deadline, Time now) {
    Request r = request(id, 100);
    r.prompt.assign(100, 2);  // nothing of it is cached
    r.deadline = deadline;
    return scheduler_.submit(std::move(r), now);
  };
  EXPECT_EQ(submit_due(2, 49'999, 0), RejectReason::kHopeless);
  EXPECT_EQ(submit_due(3, 50'000, 0), RejectReason::kNone);
  EXPECT_EQ(submit_due(4, 10, 11), RejectReason::kDeadline);
  scheduler_.take_events();
  scheduler_.expire(12);
  const auto events = scheduler_.take_events();
  ASSERT_EQ(events.size(), 1U) << "it was in time only if it had started at once";
  EXPECT_EQ(events[0].request_id, 3U);
  EXPECT_EQ(events[0].reject, RejectReason::kHopeless);
}

// A target is a wish: who misses it is served, after those that can still be in time.
TEST_F(SchedulerTest, AMissedTargetGoesBackIntoLine) {
  for (const RequestId id : {1, 2, 3}) {
    Request r = request(id, 64);
    if (id > 1) r.ttft_target_us = id == 2 ? 100 : 5'000;
    submit(std::move(r));
  }
  scheduler_.expire(1'000);
  join();
  EXPECT_EQ(plan().new_sequences[0].sequence_id, 3U) << "the one that can still be in time";
  EXPECT_EQ(scheduler_.stats().num_waiting, 2);
  EXPECT_EQ(scheduler_.stats().num_failed, 0U);
}

// The tightest of those that decode counts, as the operator's would.
TEST_F(SchedulerTest, ATargetBetweenTokensBoundsItsSteps) {
  join();
  Request r = request(1, 8);
  r.tpot_target_us = 20'000;
  submit(std::move(r));
  std::int32_t num_computed = 8;
  for (int i = 0; i < 4; ++i) {
    StepResult result = answer(plan(), {line(0, 1, num_computed++, {5})});
    result.compute_us = i == 0 ? 8'000 : 1'000;
    ASSERT_TRUE(scheduler_.apply(1, std::move(result), 0));
  }
  submit(request(2, 300));
  EXPECT_EQ(plan().scheduled[1].num_tokens, 17) << "20 ms less 1/16, less 1 ms, at 1 ms per prompt token";
}

TEST_F(SchedulerTest, SequencesOfALostReplicaGoOnElsewhere) {
  join();
  submit(request(1, 10));
  const StepPlan first = plan();
  const StepPlan second = plan();
  ASSERT_TRUE(apply(first, {line(0, 1, 10, {5})}));
  scheduler_.replica_lost(1, 0);
  EXPECT_FALSE(has_plan());
  EXPECT_FALSE(apply(second, {line(0, 1, 11, {6})})) << "nobody waits for it any more";
  EXPECT_EQ(scheduler_.stats().num_waiting, 1);
  join(2);
  const StepPlan resumed = plan(2);
  ASSERT_EQ(resumed.new_sequences.size(), 1U);
  EXPECT_EQ(resumed.new_sequences[0].tokens.size(), 11U);
  EXPECT_EQ(resumed.scheduled[0].num_tokens, 11);
  EXPECT_EQ(scheduler_.take_events().size(), 1U) << "its first token is not sent again";
}

TEST_F(SchedulerTest, ARejoiningReplicaIsToldEverythingAgain) {
  join();
  submit(request(1, 10));
  const StepPlan old_plan = plan();
  join(1, replica(), 2);
  EXPECT_FALSE(apply(old_plan, {line(0, 1, 10, {5})}));
  const StepPlan first = plan();
  EXPECT_EQ(first.epoch, 2U);
  EXPECT_EQ(first.step_id, 1U);
  EXPECT_TRUE(first.released.empty());
  EXPECT_EQ(first.new_sequences.size(), 1U);
}

TEST_F(SchedulerTest, SpreadsSequencesOverTheReplicas) {
  join(1);
  join(2);
  for (RequestId id = 1; id <= 4; ++id) submit(request(id, 4));
  EXPECT_EQ(plan(1).new_sequences.size(), 2U);
  EXPECT_EQ(plan(2).new_sequences.size(), 2U);
}

TEST_F(SchedulerTest, NobodyOvertakesASequenceThatWaitsForRoom) {
  join(1, replica(8));
  submit(request(1, 60, 20));
  const StepPlan first = plan();
  submit(request(2, 70, 20));  // needs 5 blocks: 4 are free
  submit(request(3, 4, 4));
  EXPECT_TRUE(plan().new_sequences.empty());
  ASSERT_TRUE(apply(first, {line(0, 1, 60, {5}, FinishReason::kStop)}));
  EXPECT_FALSE(has_plan()) << "the second plan still names the other blocks";
  scheduler_.cancel(2, 0);
  EXPECT_EQ(plan().new_sequences.at(0).sequence_id, 3U);
}

// Guessing is tried once a plain step has shown what a row costs. Until the answer is there, the most that can have
// grown counts: for blocks, for the budget, for where the end is.
TEST_F(SchedulerTest, ReservesForWhatGuessesMayGrow) {
  ReplicaInfo info = replica();
  info.max_draft_tokens = 4;
  join(1, info);
  Request r = request(7, 14, 9);
  r.params.speculative = SpeculativeMode::kNgram;
  submit(std::move(r));
  const StepPlan prefill = plan();
  ASSERT_TRUE(apply(prefill, {line(0, 1, 14, {5})}));
  const StepPlan plain = plan();
  EXPECT_EQ(plain.scheduled[0].num_draft_tokens, 0);
  StepResult result = answer(plain, {line(0, 1, 15, {5})});
  result.compute_us = 1000;
  ASSERT_TRUE(scheduler_.apply(1, result, 0));  // 16 tokens known, 15 computed, 7 more to come

  const StepPlan third = plan();
  ASSERT_EQ(third.scheduled[0].num_draft_tokens, 2);
  EXPECT_EQ(third.scheduled[0].num_tokens, 1);
  EXPECT_EQ(third.scheduled[0].new_blocks.size(), 1U) << "18 tokens may be computed";
  const StepPlan fourth = plan();
  EXPECT_EQ(fourth.scheduled[0].num_draft_tokens, 2) << "3 of the 7 may have come by then";
  EXPECT_FALSE(has_plan()) << "two in flight";

  SequenceResult two = line(0, 1, 17, {6, 7});
  two.num_drafted = 2;
  two.num_accepted = 1;
  ASSERT_TRUE(apply(third, {two}));
  const StepPlan fifth = plan();
  EXPECT_EQ(fifth.scheduled[0].num_draft_tokens, 1) << "2 have come and 3 may come: 2 are left";
  SequenceResult impossible = line(0, 1, 20, {1, 2, 3, 4});
  ASSERT_TRUE(apply(fourth, {impossible}));
  const std::vector<TokenEvent> events = scheduler_.take_events();
  EXPECT_EQ(events.back().finish_reason, FinishReason::kError) << "more than was asked for";
}

TEST_F(SchedulerTest, AWindowBoundsTheBlocksOfALongAnswer) {
  ReplicaInfo info = replica();
  info.kv_windows = {40};
  join(1, info);
  submit(request(1, 20, 300));
  StepPlan step = plan();
  std::int32_t most = 0;
  for (std::int32_t num_computed = 20; num_computed < 300; ++num_computed) {
    ASSERT_TRUE(apply(step, {line(0, 1, num_computed, {5})}));
    scheduler_.check_integrity();
    most = std::max(most, scheduler_.replica_stats(1).num_used_blocks);
    step = plan();
  }
  EXPECT_EQ(most, 4) << "39 keys before the last full block reach into three blocks at most";
  EXPECT_EQ(scheduler_.replica_stats(1).num_cached_blocks, 15) << "what is out of sight stays cached";
}

// A model with a layer that sees everything beside layers that see 40 tokens.
TEST_F(SchedulerTest, WindowedLayersFreeTheirBlocksBesideOthersThatKeepThem) {
  ReplicaInfo info = replica(60);
  info.kv_windows = {0, 40, 40};
  join(1, info);
  EXPECT_EQ(scheduler_.submit(request(9, 20, 400), 0), RejectReason::kTooLong) << "27 blocks of each group";
  submit(request(1, 20, 280));
  StepPlan step = plan();
  EXPECT_EQ(step.new_sequences.at(0).blocks.size(), 6U) << "two of each group";
  for (std::int32_t num_computed = 20; num_computed < 299; ++num_computed) {
    ASSERT_TRUE(apply(step, {line(0, 1, num_computed, {5})}));
    scheduler_.check_integrity();
    const std::int32_t num_hidden = std::max(num_computed / kBlockSize * kBlockSize - 39, 0) / kBlockSize;
    EXPECT_LE(scheduler_.replica_stats(1).num_used_blocks,
              3 * ((num_computed + kBlockSize) / kBlockSize) - 2 * num_hidden);
    step = plan();
  }
  EXPECT_EQ(scheduler_.replica_stats(1).num_used_blocks, 19 + 2 * 4)
      << "all of the group that sees everything, the last ones of the others";
}

// The same prompt beside a decode, with and without a target for the time between tokens.
TEST_F(SchedulerTest, APromptTakesWhatTheTargetLeavesOfAStep) {
  Scheduler scheduler({.max_tokens_per_step = 64, .itl_target_us = 40'000});
  scheduler.replica_joined(1, 1, replica(), 0);
  ASSERT_EQ(scheduler.submit(request(1, 8), 0), RejectReason::kNone);
  std::int32_t num_computed = 8;
  const auto step = [&](std::int64_t step_us) {
    const auto plan = scheduler.plan(1, 0);
    StepResult result = answer(*plan, {line(0, 1, num_computed++, {5})});
    for (std::size_t i = 1; i < plan->scheduled.size(); ++i) {
      result.sequences.push_back(line(plan->scheduled[i].slot, 2, plan->scheduled[i].num_tokens, {}));
    }
    result.compute_us = step_us;
    EXPECT_TRUE(scheduler.apply(1, std::move(result), 0));
    return plan->scheduled.back().num_tokens;
  };
  EXPECT_EQ(step(8'000), 8) << "nobody waits for a token: the whole budget";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(step(10'000), 1);
  ASSERT_EQ(scheduler.submit(request(2, 300), 0), RejectReason::kNone);
  // 40 ms less a margin of 1/16, less 10 ms of the decode, at the 1 ms that a token of the first prompt took.
  EXPECT_EQ(step(10'000 + 27'000), 27);
}

// Else it would be read behind its last token, or wait for ever.
TEST_F(SchedulerTest, ACountThatTheTokensDoNotGiveEndsTheSequence) {
  const std::pair<std::int32_t, std::vector<TokenId>> kImpossible[] = {
      {20, {}},      // all computed, and nothing sampled
      {19, {7}},     // sampled before all was computed
      {20, {7, 7}},  // more than were asked for
  };
  join();
  for (RequestId id = 1; const auto& [num_computed, tokens] : kImpossible) {
    submit(request(id, 20));
    const StepPlan step = plan();
    ASSERT_TRUE(apply(step, {line(step.scheduled[0].slot, id, num_computed, tokens)}));
    EXPECT_EQ(scheduler_.take_events().at(0).reject, RejectReason::kWorkerFault) << id;
    ++id;
  }
  submit(request(10, 40));
  const StepPlan step = plan();
  ASSERT_TRUE(apply(step, {line(step.scheduled[0].slot, 4, 24, {})}));
  EXPECT_TRUE(scheduler_.take_events().empty()) << "a part of the prompt is possible";
}

TEST_F(SchedulerTest, WhatOnlyALostReplicaCouldHoldWaitsThoughAnotherHasItsId) {
  join(1, replica(64), 1);
  scheduler_.replica_lost(1, 0);
  submit(request(1, 200));
  join(1, replica(4), 2);
  EXPECT_TRUE(scheduler_.take_events().empty());
  EXPECT_EQ(scheduler_.submit(request(2, 200), 0), RejectReason::kNone);
  scheduler_.replica_forgotten(1, 10);
  const std::vector<TokenEvent> events = scheduler_.take_events();
  ASSERT_EQ(events.size(), 2U);
  for (const TokenEvent& event : events) EXPECT_EQ(event.reject, RejectReason::kNoReplica);
  EXPECT_EQ(scheduler_.submit(request(3, 200), 0), RejectReason::kTooLong);
}

}  // namespace
}  // namespace caudal
