#include "tests/bench/instant_table.h"

#include <algorithm>

namespace caudal::bench {

StepResult InstantTable::run(const StepPlan& plan) {
  StepResult result{.epoch = plan.epoch, .step_id = plan.step_id, .sequences = {}, .compute_us = 1};
  result.sequences.reserve(plan.scheduled.size());
  for (const NewSequence& entering : plan.new_sequences) {
    rows_.at(static_cast<std::size_t>(entering.slot)) = {entering.sequence_id,
                                                         static_cast<std::int32_t>(entering.tokens.size()),
                                                         entering.num_prompt_tokens,
                                                         entering.num_computed,
                                                         entering.stop.max_tokens,
                                                         false};
  }
  for (const ScheduledSequence& scheduled : plan.scheduled) {
    Row& row = rows_.at(static_cast<std::size_t>(scheduled.slot));
    if (row.has_ended) continue;
    row.num_computed += std::min(scheduled.num_tokens, row.num_tokens - row.num_computed);
    SequenceResult& line = result.sequences.emplace_back();
    line.slot = scheduled.slot;
    line.sequence_id = row.sequence;
    line.num_computed = row.num_computed;
    if (row.num_computed < row.num_tokens) continue;
    line.tokens = {7};
    ++row.num_tokens;
    row.has_ended = row.num_tokens - row.num_prompt_tokens >= row.max_tokens;
    if (row.has_ended) line.finish_reason = FinishReason::kLength;
  }
  return result;
}

}  // namespace caudal::bench
