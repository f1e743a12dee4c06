// Scheduler::apply: the answer to the oldest plan in flight. The worker is the authority on positions and
// on when a sequence ends; the coordinator checks that what it says is possible.
#include <algorithm>
#include <cmath>

#include "coordinator/scheduler/scheduler.h"

#include "common/mutation.h"
namespace caudal {

namespace {

// Candidates come with the last known token, and only with it.
bool are_possible_candidates(const Sequence& beam, const SequenceResult& result) {
  const auto is_sane = [](const TokenLogprob& next) { return next.token >= 0 && std::isfinite(next.logprob); };
  const bool is_whole = result.num_computed == beam.num_tokens() && result.finish_reason == FinishReason::kNone;
  return is_whole != result.candidates.empty() && std::ranges::all_of(result.candidates, is_sane) &&
         (result.finish_reason == FinishReason::kNone || result.finish_reason == FinishReason::kError);
}

bool is_possible(const PlannedSequence& planned, const SequenceResult& result) {
  const Sequence& sequence = *planned.sequence;
  const std::int32_t num_new_computed = result.num_computed - sequence.residence.num_computed;
  return result.sequence_id == sequence.id && num_new_computed >= 0 && num_new_computed <= planned.num_tokens &&
         std::ssize(result.tokens) <= planned.max_new_tokens && result.num_drafted <= planned.num_draft_tokens &&
         result.num_accepted <= result.num_drafted && result.num_accepted >= 0 &&
         result.num_accepted <= std::ssize(result.tokens) &&
         (result.logprobs.empty() || result.logprobs.size() == result.tokens.size()) &&
         (!sequence.is_beam() || are_possible_candidates(sequence, result));
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

std::optional<StepSample> Scheduler::apply(ReplicaId id, StepResult result, Time now) {
  observe(now);
  Replica* replica = find_alive(id);
  if (replica == nullptr || MUTANT(past_epoch_applied, result.epoch != replica->epoch, false) ||
      replica->in_flight.empty() ||
      MUTANT(any_step_answers, result.step_id != replica->in_flight.front().step_id, result.step_id == 0)) {
    return std::nullopt;
  }
  StepSample sample = sample_of(result);
  const std::uint64_t num_prompt_tokens_before = replica->num_prompt_tokens_computed;
  unplace();
  MUTANT_OMITS(answered_not_due, due_.insert(id));
  const PlanInFlight plan = std::move(replica->in_flight.front());
  replica->in_flight.erase(replica->in_flight.begin());

  std::vector<SequenceResult*> by_slot(replica->info.max_num_sequences, nullptr);
  for (SequenceResult& entry : result.sequences) {
    if (entry.slot >= 0 && entry.slot < replica->info.max_num_sequences) by_slot[entry.slot] = &entry;
  }
  observe_speculation(*replica, plan, result);
  if (!result.sequences.empty()) replica->step_budget.observe(plan.load, result.compute_us - plan.swap_us);
  events_.reserve(events_.size() + plan.sequences.size());
  for (const PlannedSequence& planned : plan.sequences) deliver(*replica, planned, by_slot[planned.slot]);
  replica->remove_departed();
  answered(*replica, plan);
  sample.num_prompt_tokens = static_cast<std::int32_t>(replica->num_prompt_tokens_computed - num_prompt_tokens_before);
  return sample;
}

// A sequence that is being preempted still takes what its last plans bring. A missing entry is right only
// for one that ended in an earlier step.
void Scheduler::deliver(Replica& replica, const PlannedSequence& planned, SequenceResult* result) {
  Sequence& sequence = *planned.sequence;
  Residence& residence = sequence.residence;
  MUTANT_OMITS(tokens_in_flight_kept, residence.num_tokens_in_flight -= planned.num_tokens);
  MUTANT_OMITS(draft_tokens_kept, residence.num_new_tokens_in_flight -= planned.max_new_tokens);
  if (MUTANT(ends_twice, sequence.state == SequenceState::kEnded, false)) return;
  const bool makes_sense = result != nullptr && is_possible(planned, *result);
  if (!makes_sense || result->finish_reason == FinishReason::kError) {
    if (makes_sense && !result->tokens.empty()) emit(sequence, FinishReason::kNone, result);  // drafts before the fault
    replica.kv.disown(residence.table);
    return fail(sequence, RejectReason::kWorkerFault);
  }

  replica.num_tokens_computed += result->num_computed - residence.num_computed;
  const std::int32_t num_prompt = sequence.request->num_prompt_tokens;
  replica.num_prompt_tokens_computed +=
      std::min(result->num_computed, num_prompt) - std::min(residence.num_computed, num_prompt);
  const std::int32_t num_uncomputed_before = sequence.num_uncomputed();
  residence.num_computed = result->num_computed;
  if (result->num_drafted > 0)
    replica.draft_length.observe_guesses(sequence.drafts, result->num_drafted, result->num_accepted);
  sequence.request->tenant->charge_generated(std::ssize(result->tokens));
  sequence.tokens.insert(sequence.tokens.end(), result->tokens.begin(), result->tokens.end());
  if (sequence.state == SequenceState::kRunning) {
    replica.num_uncomputed_tokens += sequence.num_uncomputed() - num_uncomputed_before;
  }
  prefix_cache_.publish(sequence, replica);
  if (sequence.is_beam()) {
    const bool counts = sequence.state == SequenceState::kRunning && !result->candidates.empty();
    if (counts) take_candidates(replica, sequence, std::move(result->candidates));
    return;
  }
  if (sequence.state == SequenceState::kRunning) {
    replica.kv.drop(residence.table, hidden_blocks(replica.info.attention_window, residence.num_computed));
  }
  FinishReason finish_reason = result->finish_reason;
  if (finish_reason == FinishReason::kNone && sequence.num_tokens() >= residence.token_limit) {
    finish_reason = FinishReason::kLength;  // both sides know this bound: nothing can follow
  }
  const bool has_finished = finish_reason != FinishReason::kNone;
  if (has_finished || !result->tokens.empty()) emit(sequence, finish_reason, result);
  if (has_finished) {
    MUTANT_OMITS(finished_uncounted, ++counters_.num_finished);
    end(sequence);
  }
}

}  // namespace caudal
