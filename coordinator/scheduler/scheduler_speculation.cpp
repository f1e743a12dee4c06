// Speculation as the scheduler sees it: a step of a sequence may yield several tokens, so that many are
// reserved. How many is asked of DraftLength; here are the bounds that have to hold.
#include <algorithm>

#include "coordinator/scheduler/scheduler_draft.h"

namespace caudal {

SpeculativeMode Scheduler::speculative_mode(const Sequence& sequence) const {
  if (sequence.is_beam()) return SpeculativeMode::kOff;  // nobody knows which of them goes on
  return sequence.request->request.speculative.value_or(config_.speculative);
}

DraftLength::Step Scheduler::draft_lengths(Replica& replica) const {
  DecodeBatch batch;
  if (replica.info.max_draft_tokens > 0) {
    for (const Sequence* sequence : replica.running) {
      if (sequence->num_plannable() != 1) continue;
      const bool may_speculate = speculative_mode(*sequence) != SpeculativeMode::kOff;
      ++(may_speculate ? batch.num_speculating : batch.num_plain);
    }
  }
  return replica.draft_length.step(batch);
}

// Guesses take nothing that somebody needs: no token of the budget from a sequence that decodes in the same step, no
// block that is not free anyway, nothing beyond the end.
std::int32_t Scheduler::num_draft_tokens(const Draft& draft, Sequence& sequence) const {
  const Replica& replica = draft.replica;
  const SpeculativeMode mode = speculative_mode(sequence);
  if (!draft.draft_lengths.ever_pays() || mode == SpeculativeMode::kOff) return 0;
  const bool with_model = mode != SpeculativeMode::kNgram && replica.info.has_draft_model;
  if (mode == SpeculativeMode::kDraft && !with_model) return 0;
  const Residence& residence = sequence.residence;
  const auto num_to_come = static_cast<std::int32_t>(replica.running.size() - draft.num_walked);
  const auto num_blocks = static_cast<std::int32_t>(residence.table.blocks.size()) + replica.kv.pool().num_free();
  const std::int32_t room =
      std::min({draft.left.num_tokens() - num_to_come - 1, residence.token_limit - sequence.max_known() - 1,
                num_blocks * kBlockSize - sequence.max_computed() - 1});
  if (room <= 0) return 0;
  return std::min(room, draft.draft_lengths.choose(sequence.drafts, with_model));
}

// What the step cost. Learnt from steps without prefills.
void Scheduler::observe_speculation(Replica& replica, const PlanInFlight& plan, const StepResult& result) {
  std::int32_t num_rows = 0, num_drafting = 0;
  for (const SequenceResult& sequence : result.sequences) {
    num_rows += 1 + sequence.num_drafted;
    num_drafting += sequence.num_drafted > 0 ? 1 : 0;
  }
  const auto decodes = [](const PlannedSequence& planned) {
    return planned.num_tokens - planned.num_draft_tokens == 1;
  };
  if (std::ranges::all_of(plan.sequences, decodes))
    replica.draft_length.observe_step(num_rows, result.compute_us - result.draft_us);
  replica.draft_length.observe_pass(num_drafting, result.draft_pass_us);
}

}  // namespace caudal
