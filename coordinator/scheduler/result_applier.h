// ResultApplier: the answer to the oldest plan in flight of a replica. The worker is the authority on positions and on
// when a sequence ends; the coordinator checks that what it says is possible. Lives for one Scheduler::apply().
#pragma once

#include "coordinator/scheduler/lifecycle.h"
#include "coordinator/scheduler/prefix_cache.h"

namespace caudal {

class ResultApplier {
 public:
  ResultApplier(Lifecycle& life, const PrefixCache& prefix_cache, ReplicaState& replica)
      : life_(life), prefix_cache_(prefix_cache), replica_(replica) {}

  // The result answers the oldest plan. What it was, for metrics.
  StepSample apply(StepResult result);

 private:
  void fetch(const PlanInFlight& plan) const;
  void deliver(const PlannedSequence& planned, SequenceResult* result);
  void advance(Sequence& sequence, const SequenceResult& result);

  Lifecycle& life_;
  const PrefixCache& prefix_cache_;
  ReplicaState& replica_;
};

}  // namespace caudal
