// A scheduler with default limits, and the short hands in which its examples are written.
#pragma once

#include <gtest/gtest.h>

#include "coordinator/scheduler/scheduler.h"

namespace caudal {

inline ReplicaInfo replica(std::int32_t num_blocks = 64) {
  return {.num_blocks = num_blocks,
          .max_num_sequences = 8,
          .max_tokens_per_step = 64,
          .max_context_tokens = 512,
          .model_digest = {}};
}

// Each id has a prompt of its own.
inline Request request(RequestId id, std::int32_t num_prompt, std::int32_t max_tokens = 100) {
  Request r;
  r.id = id;
  r.prompt.assign(num_prompt, static_cast<TokenId>(id));
  r.params.stop.max_tokens = max_tokens;
  r.arrival = static_cast<Time>(id);
  return r;
}

// The answer that a worker would give to a line of a plan.
inline SequenceResult line(SlotId slot, SequenceId sequence, std::int32_t num_computed, std::vector<TokenId> tokens,
                           FinishReason finish_reason = FinishReason::kNone) {
  return {slot, sequence, num_computed, std::move(tokens), finish_reason, {}};
}

inline StepResult answer(const StepPlan& plan, std::vector<SequenceResult> lines) {
  return {.epoch = plan.epoch, .step_id = plan.step_id, .sequences = std::move(lines)};
}

class SchedulerTest : public testing::Test {
 protected:
  void TearDown() override { scheduler_.check_integrity(); }

  void join(ReplicaId id = 1, const ReplicaInfo& info = replica(), Epoch epoch = 1) {
    scheduler_.replica_joined(id, epoch, info, 0);
  }
  void submit(Request r) { ASSERT_EQ(scheduler_.submit(std::move(r), 0), RejectReason::kNone); }
  StepPlan plan(ReplicaId id = 1) {
    auto plan = scheduler_.plan(id, 0);
    EXPECT_TRUE(plan.has_value());
    return plan.value_or(StepPlan{});
  }
  bool has_plan(ReplicaId id = 1) { return scheduler_.plan(id, 0).has_value(); }
  bool apply(const StepPlan& plan, std::vector<SequenceResult> lines, ReplicaId id = 1) {
    return scheduler_.apply(id, answer(plan, std::move(lines)), 0).has_value();
  }

  Scheduler scheduler_{SchedulerConfig{.max_tokens_per_step = 64}};
};

}  // namespace caudal
