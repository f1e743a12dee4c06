#include "coordinator/scheduler/placement.h"

namespace caudal {

void Candidate::take(const Demand& demand) {
  admission.take(demand);
  load += demand.num_uncached() + Placement::kRunningTokens;
  idle = false;
}

bool Candidate::is_home_of(const Sequence& sequence) const {
  return !sequence.host.exists() || sequence.host.replica == replica->id;
}

// With the tokens that are left beside its decodes: prompts that it computes at the moment delay a sequence,
// which is a matter of cost, but do not keep it out.
void Placement::add(const Replica& replica) {
  const std::int32_t num_tokens = config_.step_tokens(replica.info) - replica.num_running();
  candidates_.push_back(
      {.replica = &replica,
       .admission = replica.admission(config_, num_tokens),
       .load = replica.num_uncomputed_tokens + kRunningTokens * replica.num_running() + std::ssize(replica.in_flight),
       .idle = replica.running.empty()});
}

std::optional<Placed> Placement::choose(Sequence& sequence, const Demand& demand) {
  std::optional<Placed> best;
  std::int64_t best_cost = 0;
  for (Candidate& candidate : candidates_) {
    if (candidate.admission.exhausted() || !(candidate.idle || candidate.is_home_of(sequence))) continue;
    if (best && candidate.load + kNewTokenCost >= best_cost) continue;  // whatever it has cached
    Demand here = demand;
    here.cached = cache_.probe(sequence, *candidate.replica);
    if (!candidate.admission.admits(here)) continue;
    const std::int64_t cost = candidate.load + kNewTokenCost * here.num_uncached();
    if (best && cost >= best_cost) continue;
    best = Placed{&candidate, here};
    best_cost = cost;
  }
  return best;
}

bool Placement::close(const Sequence& sequence, const Demand& demand) {
  std::erase_if(candidates_, [&](const Candidate& candidate) {
    return candidate.admission.exhausted() ||
           (candidate.is_home_of(sequence) && can_ever_fit(candidate.replica->info, demand));
  });
  return !candidates_.empty();
}

}  // namespace caudal
