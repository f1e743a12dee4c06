// InstantTable: the worker's side of the plan's contract without a model: every sequence that has caught up gets a
// token that means nothing. For benchmarks and simulations of what is around a worker.
#pragma once

#include <vector>

#include "common/types.h"

namespace caudal::sim {

// What a plan makes a replica do.
struct StepWork {
  double num_tokens = 0.0;     // computed
  double num_kv_tokens = 0.0;  // read: the contexts of all its sequences
  double num_pairs = 0.0;      // query times key positions
};

class InstantTable {
 public:
  explicit InstantTable(std::int32_t num_slots) : rows_(num_slots) {}

  // The answer, as if it had taken a microsecond; adds what it is worth to `work`.
  StepResult run(const StepPlan& plan, StepWork& work) {
    for (const NewSequence& sequence : plan.new_sequences) {
      rows_.at(sequence.slot) = {.sequence = sequence.sequence_id,
                                 .num_tokens = static_cast<std::int32_t>(sequence.tokens.size()),
                                 .num_computed = sequence.num_computed,
                                 .end = sequence.num_prompt_tokens + sequence.params.stop.max_tokens,
                                 .has_ended = false};
    }
    StepResult result{.epoch = plan.epoch, .step_id = plan.step_id, .sequences = {}, .compute_us = 1};
    result.sequences.reserve(plan.scheduled.size());
    for (const ScheduledSequence& scheduled : plan.scheduled) {
      Row& row = rows_.at(scheduled.slot);
      if (row.has_ended) continue;
      work.num_tokens += scheduled.num_tokens;
      work.num_pairs += scheduled.num_tokens * (row.num_computed + 0.5 * scheduled.num_tokens);
      row.num_computed += scheduled.num_tokens;
      work.num_kv_tokens += row.num_computed;
      SequenceResult& line = result.sequences.emplace_back();
      line.slot = scheduled.slot;
      line.sequence_id = row.sequence;
      line.num_computed = row.num_computed;
      if (row.num_computed < row.num_tokens) continue;
      line.tokens = {7};
      row.has_ended = ++row.num_tokens >= row.end;
      if (row.has_ended) line.finish_reason = FinishReason::kLength;
    }
    return result;
  }
  // From now on it is skipped, as after a stop token.
  void end(SlotId slot) { rows_.at(slot).has_ended = true; }
  StepResult run(const StepPlan& plan) {
    StepWork nobody_asks;
    return run(plan, nobody_asks);
  }

 private:
  struct Row {
    SequenceId sequence = 0;
    std::int32_t num_tokens = 0;
    std::int32_t num_computed = 0;
    std::int32_t end = 0;  // so long it gets
    bool has_ended = false;
  };
  IndexedVector<SlotId, Row> rows_;  // by slot
};

}  // namespace caudal::sim
