// Placement: which replica gets a waiting sequence. Walks the queue on copies of what every replica has left,
// so that a replica leaves to the others what suits them better. Who asks does not matter: as long as nothing
// changes, all replicas agree on whose a sequence is. Lives for one plan().
//
// A replica costs, in tokens: what the sequence has to compute there (all but the cached prefix), kNewTokenCost
// times, because computing a second copy of a prefix delays others and takes cache from them; what has to be
// computed there before; and kRunningTokens for every sequence that decodes beside it. So a prefix of n tokens
// draws at most n * kNewTokenCost / kRunningTokens more sequences to its replica than the least loaded one
// has: one hot prefix spreads over as many replicas as its load needs, and each of them caches it then.
// A sequence whose KV is in the host memory of its replica belongs there, and goes only to another one that has
// nothing else to do.
// Both constants: tests/bench/placement_bench.cpp.
#pragma once

#include <optional>
#include <vector>

#include "coordinator/scheduler/admission.h"
#include "coordinator/scheduler/prefix_cache.h"

namespace caudal {

struct Candidate {
  const Replica* replica = nullptr;
  Admission admission;
  std::int64_t load = 0;  // tokens
  bool idle = false;

  void take(const Demand& demand);
  bool is_home_of(const Sequence& sequence) const;
};

struct Placed {
  Candidate* candidate = nullptr;
  Demand demand;  // with what this candidate has cached
};

class Placement {
 public:
  static constexpr std::int64_t kRunningTokens = 32;
  static constexpr std::int64_t kNewTokenCost = 2;

  Placement(const PrefixCache& cache, const SchedulerConfig& config) : cache_(cache), config_(config) {}

  void add(const Replica& replica);

  // The cheapest of the candidates that have room for the sequence, the first one of equals. Some may have
  // to answer a plan before they can take it. Empty: no room anywhere.
  std::optional<Placed> choose(Sequence& sequence, const Demand& demand);

  // Nobody may overtake this sequence where it belongs and could ever fit. False: then nobody is left.
  bool close(const Sequence& sequence, const Demand& demand);

 private:
  const PrefixCache& cache_;
  const SchedulerConfig& config_;
  std::vector<Candidate> candidates_;
};

}  // namespace caudal
