// Speculation as the scheduler sees it: a step of a sequence may yield several tokens, so that many are reserved. How
// many is asked of DraftLength; here are the bounds that have to hold.
#pragma once

#include "coordinator/scheduler/replica_state.h"

namespace caudal {

// Of the sequence, where `configured` counts unless its request says otherwise.
SpeculativeMode speculative_mode(const Sequence& sequence, SpeculativeMode configured);

// Of one plan. Keeps a reference to the replica.
class StepSpeculation {
 public:
  StepSpeculation(ReplicaState& replica, SpeculativeMode configured);

  // Draft tokens for a sequence that decodes. They take nothing that somebody needs: no token of the budget from a
  // sequence that decodes in the same step (`num_tokens_left` are nobody else's), no block that is not free anyway,
  // nothing beyond the end. Asked once per sequence.
  std::int32_t num_draft_tokens(Sequence& sequence, std::int32_t num_tokens_left) const;

 private:
  const ReplicaState& replica_;
  SpeculativeMode configured_;
  DraftLength::Step lengths_;
};

// What a step cost. Learnt from steps without prompts.
void observe_speculation(ReplicaState& replica, const PlanInFlight& plan, const StepResult& result);

}  // namespace caudal
