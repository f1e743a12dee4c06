// Scheduler: the coordinator's pure core. It owns every request, sequence and KV
// block of the cluster, says what each replica computes next, and takes in what came out. No clock, no
// thread, no socket, no randomness: the same calls give the same plans, byte for byte.
// One thread (the engine's). Files: scheduler.cpp (who is there), scheduler_plan.cpp, scheduler_apply.cpp,
// scheduler_beams.cpp, scheduler_speculation.cpp, scheduler_swap.cpp, scheduler_check.cpp (the invariants). Contract of
// the step: common/types.h and coordinator/README.md.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "coordinator/policy/queue_policy.h"
#include "coordinator/request/request.h"
#include "coordinator/request/scheduler_stats.h"
#include "coordinator/scheduler/prefix_cache.h"
#include "coordinator/scheduler/scheduler_config.h"
#include "coordinator/scheduler/scheduler_replica.h"
#include "coordinator/scheduler/waiting_queue.h"

namespace caudal {

class Scheduler {
 public:
  explicit Scheduler(SchedulerConfig config,
                     std::unique_ptr<QueuePolicy> policy = std::make_unique<EarliestDueFirst>());

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

  // A lost one is not expected back: what only it could hold ends with kNoReplica, unless none is up then.
  void replica_forgotten(ReplicaId id, Time now);

  // Replicas that may have something to plan, in the order of their ids. After any other call, ask these for
  // their plans until none is left: what one does may concern another.
  std::vector<ReplicaId> due(Time now);

  // The next step of a replica; to be sent. Empty: nothing to do, or enough plans are unanswered.
  std::optional<StepPlan> plan(ReplicaId id, Time now);

  // Takes the answer to the oldest unanswered plan of this epoch. Anything else changes nothing, and the result is
  // empty. Sequences for which the answer makes no sense end with kWorkerFault.
  std::optional<StepSample> apply(ReplicaId id, StepResult result, Time now);

  // No replica is up, and no client waits longer for one if it asked before `arrived_before`: ends what waits and has
  // no deadline left to start by, with kNoReplica.
  void give_up(Time arrived_before, Time now);

  // Ends waiting sequences that cannot start in time for their deadline; plan() does so first. For times
  // without a replica.
  void expire(Time now);

  // What happened since the last call, in order. The last event of a sequence has a finish_reason.
  std::vector<TokenEvent> take_events();

  SchedulerStats stats() const;
  ReplicaStats replica_stats(ReplicaId id) const;
  const Tenants& tenants() const { return tenants_; }
  const SchedulerConfig& config() const { return config_; }
  std::int32_t num_waiting() const { return waiting_.size() + counters_.num_waiting; }
  Time oldest_wait(Time now) const;  // of the waiting sequences; 0 without one

  // CHECKs every invariant that can be seen from here. Linear in everything: for tests and debug builds.
  void check_integrity() const;

 private:
  struct Draft;  // a plan in the making

  Replica* find_alive(ReplicaId id);
  bool fits_somewhere(const Demand& demand) const;
  Demand demand_of(const Sequence& sequence) const;
  Time best_case_us(Sequence& sequence) const;
  RejectReason too_late(const RequestState& state) const;
  void forget(RequestState& request);
  void observe(Time now) { now_ = std::max(now_, now); }

  void cancel(RequestState& request, std::span<Sequence> sequences);

  // Ways of a sequence (see SequenceState).
  void leave(Sequence& sequence, SequenceState next);  // kRunning -> kLeaving or kEnded
  void end(Sequence& sequence);                        // any but kEnded -> kEnded
  void fail(Sequence& sequence, RejectReason reason);
  void fail_misfits(RejectReason reason);  // waiting ones that fit no known replica
  void settle(Sequence& sequence);         // no plan names it any more: blocks back, wait again or be forgotten
  void wait(Sequence& sequence);           // in the queue; a beam until all of its search do
  void stop_waiting(Sequence& sequence);
  void preempt(Sequence& sequence);
  void answered(Replica& replica, const PlanInFlight& plan);
  void emit(Sequence& sequence, FinishReason finish_reason, SequenceResult* result = nullptr);

  // plan(), in this order.
  void schedule_running(Draft& draft);
  void limit_prompts(Draft& draft);
  void admit_waiting(Draft& draft);
  void place_waiting();
  void unplace() { is_placed_ = false, placed_.clear(); }
  std::optional<StepPlan> commit(Draft& draft);
  void schedule(Draft& draft, Sequence& sequence, std::int32_t num_tokens, std::int32_t num_draft_tokens = 0);
  SpeculativeMode speculative_mode(const Sequence& sequence) const;
  DraftLength::Step draft_lengths(Replica& replica) const;
  std::int32_t num_draft_tokens(const Draft& draft, Sequence& sequence) const;
  bool make_room(Draft& draft, Sequence& sequence, std::int32_t num_tokens);
  bool free_blocks(Draft& draft, Sequence& sequence, std::int32_t num_blocks);
  Sequence* choose_victim(const Draft& draft, Sequence& needy) const;
  void admit(Draft& draft, Sequence& sequence);
  void copy_block(Draft& draft, const BlockCopy& copy);
  void enter(Draft& draft, const Sequence& sequence);

  // Preempted sequences in host memory.
  void swap_out(Sequence& sequence, Replica& replica);
  void swap_in(Draft& draft, Sequence& sequence);
  void drop_host_copy(Sequence& sequence);

  // apply()
  void deliver(Replica& replica, const PlannedSequence& planned, SequenceResult* result);
  // Beam search.
  static bool is_in_plan(const Draft& draft, const Sequence& sequence);
  void admit_beams(Draft& draft, Sequence& first);
  bool enter_beam(Draft& draft, Sequence& beam, std::int32_t max_tokens);
  void take_candidates(Replica& replica, Sequence& beam, std::vector<TokenLogprob> candidates);
  void move_beams(Replica& replica, RequestState& request, const std::vector<std::int32_t>& parents);
  void finish_beams(RequestState& request);
  void cancel_choice(RequestState& request, std::int32_t choice);
  void check_beams(const RequestState& request) const;

  static void observe_speculation(Replica& replica, const PlanInFlight& plan, const StepResult& result);

  void check_sequence(const Sequence& sequence) const;
  void check_replica(const Replica& replica) const;

  SchedulerConfig config_;
  BlockIndex block_index_;  // of the blocks of all replicas
  PrefixCache prefix_cache_;
  std::unique_ptr<QueuePolicy> policy_;
  std::map<RequestId, RequestState> requests_;
  Tenants tenants_;
  WaitingQueue waiting_;
  bool is_placed_ = false;
  std::map<ReplicaId, std::deque<Sequence*>> placed_;  // where waiting sequences go, if is_placed_
  std::map<ReplicaId, Replica> replicas_;              // lost ones stay, with what they could hold
  std::set<ReplicaId> due_;                            // something happened there since it last had nothing to plan
  std::vector<TokenEvent> events_;
  SchedulerStats counters_;  // the totals, num_running, and as num_waiting the beams that wait and are not queued
  SequenceId last_sequence_id_ = 0;
  Time now_ = 0;
};

}  // namespace caudal
