// Scheduler: the coordinator's pure core. It owns every request, sequence and KV block of the cluster, says what each
// replica computes next, and takes in what came out. No clock, no thread, no socket, no randomness: the same calls give
// the same plans, byte for byte. One thread (the engine's).
// Its parts: Lifecycle (who is there, and in which state), ReplicaState, Placement (who goes where), PlanBuilder,
// ResultApplier, PrefixCache; groups.h for the kinds of requests. Contract of the step: common/types.h and
// coordinator/README.md.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "coordinator/policy/queue_policy.h"
#include "coordinator/scheduler/lifecycle.h"
#include "coordinator/scheduler/prefix_cache.h"

namespace caudal {

class Scheduler {
 public:
  explicit Scheduler(SchedulerConfig config,
                     std::unique_ptr<QueuePolicy> policy = std::make_unique<EarliestDueFirst>());
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Takes the request in (n > 1: as n sequences, a beam search as one per beam) or refuses it, keeping nothing:
  // kUnknownTenant, kTooLong when no known replica could hold it alone, kTooMany, kQueueFull, kDeadline, kHopeless.
  // While no replica is known everything fits; what turns out not to fit the first one ends with an event. The id must
  // be new, the prompt not empty, max_tokens >= 1.
  RejectReason submit(Request request, Time now);

  // Ends all its sequences. No event follows; unknown ids are ignored.
  void cancel(RequestId id, Time now);

  // Ends one of them; the request is forgotten with its last one. Of a beam search: one of its choices.
  void cancel(RequestId id, std::int32_t sequence_index, Time now);

  // A replica with empty tables. Joining again, under a new epoch, implies the loss of what it ran.
  void replica_joined(ReplicaId id, Epoch epoch, const ReplicaInfo& info, Time now);

  // Its plans are forgotten; its sequences wait again, with their tokens.
  void replica_lost(ReplicaId id, Time now);

  // The one that was lost in this epoch is not expected back: what only it could hold ends with kNoReplica, unless none
  // is up then. Until then such requests are accepted and wait, also when another one has its id.
  void replica_forgotten(Epoch epoch, Time now);

  // Replicas that may have something to plan, in the order of their ids. After any other call, ask these for
  // their plans until none is left: what one does may concern another.
  std::vector<ReplicaId> due(Time now);

  // The next step of a replica; to be sent. Empty: nothing to do, or enough plans are unanswered.
  std::optional<StepPlan> plan(ReplicaId id, Time now);

  // Takes the answer to the oldest unanswered plan of this epoch. Anything else changes nothing, and the result is
  // empty. Sequences for which the answer makes no sense end with kWorkerFault.
  std::optional<StepSample> apply(ReplicaId id, StepResult result, Time now);

  // No replica of the model is up, and no client waits longer for one if it asked before `arrived_before`: ends what
  // waits and has no deadline left to start by, with kNoReplica.
  void give_up(ModelId model, Time arrived_before, Time now);

  // Ends waiting sequences that cannot start in time for their deadline; plan() does so first. For times
  // without a replica.
  void expire(Time now);

  // What happened since the last call, in order. The last event of a sequence has a finish_reason.
  std::vector<TokenEvent> take_events() { return life_.take_events(); }

  SchedulerStats stats() const { return life_.stats(); }
  ReplicaStats replica_stats(ReplicaId id) const;
  const Tenants& tenants() const { return life_.tenants(); }
  const SchedulerConfig& config() const { return config_; }
  std::int32_t num_waiting() const { return stats().num_waiting; }
  Time oldest_wait(Time now) const;  // of the waiting sequences; 0 without one

  // CHECKs every invariant that can be seen from here. Linear in everything: for tests and debug builds.
  void check_integrity() const;

 private:
  RejectReason reason_to_refuse(const Request& request) const;
  RejectReason too_late(const RequestState& state) const;
  void fail_misfits(RejectReason reason);  // waiting ones that fit no known replica

  const SchedulerConfig config_;
  BlockIndex block_index_;  // of the blocks of all replicas
  PrefixCache prefix_cache_;
  std::unique_ptr<QueuePolicy> policy_;
  Lifecycle life_;
};

}  // namespace caudal
