#include "coordinator/scheduler/result_applier.h"

#include <algorithm>
#include <utility>

#include "common/mutation.h"
#include "coordinator/scheduler/speculation.h"

namespace caudal {

namespace {

bool is_possible(const Sequence& sequence, const PlannedSequence& planned, const SequenceResult& result) {
  const std::int32_t num_new_computed = result.num_computed - sequence.residence.num_computed;
  return result.sequence_id == sequence.id && num_new_computed >= 0 && num_new_computed <= planned.num_tokens &&
         std::ssize(result.tokens) <= planned.max_new_tokens && result.num_drafted <= planned.num_draft_tokens &&
         result.num_accepted <= result.num_drafted && result.num_accepted >= 0 &&
         result.num_accepted <= std::ssize(result.tokens) &&
         (result.logprobs.empty() || result.logprobs.size() == result.tokens.size()) &&
         sequence.group().is_possible(sequence, result);
}

StepSample sample_of(const StepResult& result) {
  StepSample sample{.compute_us = result.compute_us,
                    .num_sequences = static_cast<std::int32_t>(result.sequences.size())};
  for (const SequenceResult& sequence : result.sequences) {
    sample.num_generated_tokens += static_cast<std::int32_t>(sequence.tokens.size());
    sample.num_drafts += sequence.num_drafted > 0 ? 1 : 0;
    sample.num_draft_tokens += sequence.num_drafted;
    const auto num_accepted = static_cast<std::size_t>(std::clamp(sequence.num_accepted, 0, kMaxDraftTokens));
    for (std::size_t index = 0; index < num_accepted; ++index) ++sample.num_accepted_at[index];
  }
  return sample;
}

}  // namespace

StepSample ResultApplier::apply(StepResult result) {
  StepSample sample = sample_of(result);
  const std::uint64_t num_prompt_tokens_before = replica_.counters().num_prompt_tokens_computed;
  const PlanInFlight plan = replica_.take_oldest();

  const std::int32_t num_slots = replica_.info().max_num_sequences;
  std::vector<SequenceResult*> by_slot(static_cast<std::size_t>(num_slots), nullptr);
  for (SequenceResult& entry : result.sequences) {
    if (entry.slot >= 0 && entry.slot < num_slots) by_slot[static_cast<std::size_t>(entry.slot)] = &entry;
  }
  observe_speculation(replica_, plan, result);
  if (!result.sequences.empty()) replica_.step_budget().observe(plan.load, result.compute_us - plan.swap_us);
  for (const PlannedSequence& planned : plan.sequences)
    deliver(planned, by_slot[static_cast<std::size_t>(planned.slot)]);
  replica_.remove_departed();
  life_.answered(replica_, plan);
  sample.num_prompt_tokens =
      static_cast<std::int32_t>(replica_.counters().num_prompt_tokens_computed - num_prompt_tokens_before);
  return sample;
}

// A sequence that is being preempted still takes what its last plans bring. A missing entry is right only
// for one that ended in an earlier step.
void ResultApplier::deliver(const PlannedSequence& planned, SequenceResult* result) {
  Sequence& sequence = life_.sequence(planned.sequence);
  Residence& residence = sequence.residence;
  MUTANT_OMITS(tokens_in_flight_kept, residence.num_tokens_in_flight -= planned.num_tokens);
  MUTANT_OMITS(draft_tokens_kept, residence.num_new_tokens_in_flight -= planned.max_new_tokens);
  if (MUTANT(ends_twice, sequence.state == SequenceState::kEnded, false)) return;
  const bool makes_sense = result != nullptr && is_possible(sequence, planned, *result);
  if (!makes_sense || result->finish_reason == FinishReason::kError) {
    // What it said before the fault counts.
    if (makes_sense && !result->tokens.empty()) life_.emit(sequence, FinishReason::kNone, result);
    replica_.kv().disown(residence.table);
    return life_.fail(sequence, RejectReason::kWorkerFault);
  }
  advance(sequence, *result);
  sequence.group().take(life_, replica_, sequence, *result);
}

// The tokens of the result are the sequence's from here on.
void ResultApplier::advance(Sequence& sequence, const SequenceResult& result) {
  Residence& residence = sequence.residence;
  ReplicaCounters& counters = replica_.counters();
  const std::int32_t num_prompt = sequence.request->num_prompt_tokens;
  counters.num_tokens_computed += result.num_computed - residence.num_computed;
  counters.num_prompt_tokens_computed +=
      std::min(result.num_computed, num_prompt) - std::min(residence.num_computed, num_prompt);
  if (result.num_drafted > 0)
    replica_.draft_length().observe_guesses(sequence.drafts, result.num_drafted, result.num_accepted);
  sequence.request->tenant->charge_generated(std::ssize(result.tokens));
  const auto advance_tokens = [&] {
    residence.num_computed = result.num_computed;
    sequence.tokens.insert(sequence.tokens.end(), result.tokens.begin(), result.tokens.end());
  };
  if (sequence.is_running()) {
    replica_.change(sequence, advance_tokens);
  } else {
    advance_tokens();
  }
  prefix_cache_.publish(sequence, replica_);
}

}  // namespace caudal
