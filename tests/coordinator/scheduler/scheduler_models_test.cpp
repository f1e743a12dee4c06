// Several models in one cluster: a request runs only on replicas of its own.
#include "tests/coordinator/scheduler/scheduler_fixture.h"

namespace caudal {
namespace {

ReplicaInfo replica_of(ModelId model, std::int32_t num_blocks = 64) {
  ReplicaInfo info = replica(num_blocks);
  info.model = model;
  info.model_digest = std::to_string(model);
  return info;
}

Request request_for(ModelId model, RequestId id, std::int32_t num_prompt = 20) {
  Request r = request(id, num_prompt);
  r.model = model;
  return r;
}

class ModelsTest : public SchedulerTest {};

TEST_F(ModelsTest, ARequestRunsOnAReplicaOfItsModel) {
  join(1, replica_of(0));
  join(2, replica_of(1), 2);
  submit(request_for(1, 10));
  submit(request_for(0, 20));
  EXPECT_EQ(plan(1).new_sequences.at(0).tokens.at(0), 20);
  EXPECT_EQ(plan(2).new_sequences.at(0).tokens.at(0), 10);
}

TEST_F(ModelsTest, ARequestWaitsForAReplicaOfItsModelBesideIdleOnes) {
  join(1, replica_of(0));
  submit(request_for(1, 10, 2000));  // longer than the replica's context, which says nothing about its own model
  EXPECT_FALSE(has_plan(1));
  EXPECT_EQ(scheduler_.stats().num_waiting, 1);
  submit(request_for(0, 20));
  EXPECT_EQ(plan(1).new_sequences.at(0).tokens.at(0), 20) << "it must not hold up another model's requests";
  join(2, replica_of(1), 2);
  EXPECT_EQ(scheduler_.take_events().at(0).reject, RejectReason::kTooLong);
}

TEST_F(ModelsTest, WhatWaitsForOneModelIsGivenUpAlone) {
  submit(request_for(0, 10));
  submit(request_for(1, 11));
  scheduler_.give_up(1, 100, 100);
  const std::vector<TokenEvent> events = scheduler_.take_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].request_id, 11U);
  EXPECT_EQ(events[0].reject, RejectReason::kNoReplica);
}

TEST_F(ModelsTest, AModelThatTakesNWaysIsNotAskedForAnother) {
  ReplicaInfo narrow = replica_of(0);
  narrow.max_num_sequences = 1;
  join(1, narrow);
  Request wide = request_for(0, 10);
  wide.beam = BeamParams{.width = 4};
  EXPECT_EQ(scheduler_.submit(wide, 0), RejectReason::kTooMany);
  wide.id = 11;
  wide.model = 1;
  EXPECT_EQ(scheduler_.submit(wide, 0), RejectReason::kNone) << "nothing is known of its model's replicas";
}

// The other model's replicas are a hundred times as fast.
TEST_F(ModelsTest, ADeadlineIsJudgedByTheReplicasOfItsModel) {
  join(1, replica_of(0));
  join(2, replica_of(1), 2);
  for (const ReplicaId id : {1U, 2U}) {
    submit(request_for(id - 1, id, 33));
    const StepPlan step = plan(id);
    StepResult result = answer(step, {line(0, id, 33, {7}, FinishReason::kStop)});
    result.compute_us = id == 1 ? 1'000 : 100'000;
    ASSERT_TRUE(scheduler_.apply(id, std::move(result), 0));
  }
  Request urgent = request_for(1, 10, 33);
  urgent.deadline = 10'000;
  EXPECT_EQ(scheduler_.submit(urgent, 0), RejectReason::kHopeless);
  urgent.model = 0;
  EXPECT_EQ(scheduler_.submit(urgent, 0), RejectReason::kNone);
}

TEST_F(ModelsTest, APrefixIsLookedForUnderTheRequestsModel) {
  join(1, replica_of(0));
  join(2, replica_of(1), 2);
  join(3, replica_of(1), 3);
  submit(request_for(1, 10, 33));
  const ReplicaId home = has_plan(2) ? 2 : 3;
  ASSERT_TRUE(scheduler_.apply(
      home, {.epoch = home, .step_id = 1, .sequences = {line(0, 1, 33, {7}, FinishReason::kStop)}}, 0));
  Request again = request_for(1, 11, 33);
  again.prompt.assign(33, 10);
  submit(again);
  EXPECT_EQ(plan(home).new_sequences.at(0).num_computed, 32);
}

}  // namespace
}  // namespace caudal
