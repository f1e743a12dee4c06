#include "coordinator/scheduler/speculation.h"

#include <algorithm>

namespace caudal {

SpeculativeMode speculative_mode(const Sequence& sequence, SpeculativeMode configured) {
  if (!sequence.group().are_sampled()) return SpeculativeMode::kOff;  // a choice decides who goes on
  return sequence.request->request.params.speculative.value_or(configured);
}

StepSpeculation::StepSpeculation(ReplicaState& replica, SpeculativeMode configured)
    : replica_(replica), configured_(configured) {
  DecodeBatch batch;
  if (replica.info().max_draft_tokens > 0) {
    for (const Sequence* sequence : replica.running()) {
      if (sequence->num_plannable() != 1) continue;
      const bool may_speculate = speculative_mode(*sequence, configured) != SpeculativeMode::kOff;
      ++(may_speculate ? batch.num_speculating : batch.num_plain);
    }
  }
  lengths_ = replica.draft_length().step(batch);
}

std::int32_t StepSpeculation::num_draft_tokens(Sequence& sequence, std::int32_t num_tokens_left) const {
  if (!lengths_.ever_pays()) return 0;
  const SpeculativeMode mode = speculative_mode(sequence, configured_);
  const bool with_model = mode != SpeculativeMode::kNgram && replica_.info().has_draft_model;
  if (mode == SpeculativeMode::kOff || (mode == SpeculativeMode::kDraft && !with_model)) return 0;
  const Residence& residence = sequence.residence;
  const KvManager& kv = replica_.kv();
  const std::int32_t capacity = kv.capacity(residence.table) + kv.pool().num_free() / kv.num_groups() * kBlockSize;
  const std::int32_t room = std::min(
      {num_tokens_left - 1, residence.token_limit - sequence.max_known() - 1, capacity - sequence.max_computed() - 1});
  return room <= 0 ? 0 : std::min(room, lengths_.choose(sequence.drafts, with_model));
}

void observe_speculation(ReplicaState& replica, const PlanInFlight& plan, const StepResult& result) {
  std::int32_t num_rows = 0, num_drafting = 0;
  for (const SequenceResult& sequence : result.sequences) {
    num_rows += 1 + sequence.num_drafted;
    num_drafting += sequence.num_drafted > 0 ? 1 : 0;
  }
  const auto decodes = [](const PlannedSequence& planned) {
    return planned.num_tokens - planned.num_draft_tokens == 1;
  };
  if (std::ranges::all_of(plan.sequences, decodes))
    replica.draft_length().observe_step(num_rows, result.compute_us - result.draft_us);
  replica.draft_length().observe_pass(num_drafting, result.draft_pass_us);
}

}  // namespace caudal
