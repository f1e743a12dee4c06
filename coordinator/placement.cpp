#include "coordinator/placement.h"

namespace caudal {

Candidate* Placement::choose(const Demand& demand) {
  Candidate* best = nullptr;
  for (Candidate& candidate : candidates_) {
    if (!candidate.admission.admits(demand)) continue;
    if (best == nullptr || candidate.num_running < best->num_running) best = &candidate;
  }
  return best;
}

}  // namespace caudal
