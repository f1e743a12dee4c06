// Scheduler: the coordinator's pure core (design sections 5 and 6). It owns every request, sequence and KV
// block of the cluster, says what each replica computes next, and takes in what came out. No clock, no
// thread, no socket, no randomness: the same calls give the same plans, byte for byte.
// One thread (the engine's). Files: scheduler.cpp (who is there), scheduler_plan.cpp, scheduler_apply.cpp,
// scheduler_check.cpp (the invariants). Contract of the step: common/types.h and coordinator/README.md.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "coordinator/prefix_cache.h"
#include "coordinator/queue_policy.h"
#include "coordinator/request.h"
#include "coordinator/scheduler_config.h"
#include "coordinator/scheduler_replica.h"
#include "coordinator/waiting_queue.h"

namespace caudal {

// Sequences, unless said otherwise. accepted = waiting + running + leaving + finished + cancelled + failed.
struct SchedulerStats {
  std::int32_t num_waiting = 0;
  std::int32_t num_running = 0;
  std::int32_t num_leaving = 0;  // preempted, its last plans not answered yet
  std::uint64_t num_accepted = 0;
  std::uint64_t num_finished = 0;
  std::uint64_t num_cancelled = 0;
  std::uint64_t num_failed = 0;  // ended with kError
  std::uint64_t num_preemptions = 0;
  std::uint64_t num_prompt_tokens = 0;     // of accepted requests
  std::uint64_t num_generated_tokens = 0;  // in events
};

struct ReplicaStats {
  bool alive = false;
  Epoch epoch = 0;
  std::int32_t num_running = 0;
  std::int32_t num_plans_in_flight = 0;
  std::int32_t num_blocks = 0;
  std::int32_t num_used_blocks = 0;    // held by sequences
  std::int32_t num_cached_blocks = 0;  // free, with content that can be found
  std::int32_t num_kv_tokens = 0;      // computed, in used blocks of running sequences
  std::uint64_t num_preemptions = 0;
  std::uint64_t num_tokens_computed = 0;
  std::uint64_t num_prompt_tokens_computed = 0;  // of these; computed again after a preemption counts again
  std::uint64_t num_prefix_tokens_queried = 0;   // of sequences at each admission
  std::uint64_t num_prefix_tokens_hit = 0;       // of these, found in the prefix cache
};

class Scheduler {
 public:
  explicit Scheduler(SchedulerConfig config,
                     std::unique_ptr<QueuePolicy> policy = std::make_unique<FirstComeFirstServed>());

  // Takes the request in (n > 1: as n sequences) or refuses it, keeping nothing: kTooLong when no known
  // replica could hold it alone, kTooMany, kQueueFull. While no replica is known everything fits; what turns out not
  // to fit the first one ends with an event. The id must be new, the prompt not empty, max_tokens >= 1.
  RejectReason submit(Request request, Time now);

  // Ends all its sequences. No event follows; unknown ids are ignored.
  void cancel(RequestId id, Time now);

  // Ends one of them; the request is forgotten with its last one.
  void cancel(RequestId id, std::int32_t sequence_index, Time now);

  // A replica with empty tables. Joining again, under a new epoch, implies the loss of what it ran.
  void replica_joined(ReplicaId id, Epoch epoch, const ReplicaInfo& info, Time now);

  // Its plans are forgotten; its sequences wait again, with their tokens.
  void replica_lost(ReplicaId id, Time now);

  // A lost one is not expected back: what only it could hold ends with kNoReplica, unless none is known then.
  void replica_forgotten(ReplicaId id, Time now);

  // The next step of a replica; to be sent. Empty: nothing to do, or enough plans are unanswered.
  // A replica may leave a sequence to another one: after any other call, ask all replicas in rounds until
  // a whole round gives no plan.
  std::optional<StepPlan> plan(ReplicaId id, Time now);

  // False: not the answer to the oldest unanswered plan of this epoch; nothing changed.
  // Sequences for which the answer makes no sense end with kWorkerFault.
  bool apply(ReplicaId id, StepResult result, Time now);

  // Ends waiting sequences that did not start by their deadline; plan() does so first. For times without
  // a replica.
  void expire(Time now);

  // What happened since the last call, in order. The last event of a sequence has a finish_reason.
  std::vector<TokenEvent> take_events();

  SchedulerStats stats() const;
  ReplicaStats replica_stats(ReplicaId id) const;

  // CHECKs every invariant that can be seen from here. Linear in everything: for tests and debug builds.
  void check_integrity() const;

 private:
  struct Draft;  // a plan in the making

  Replica* find_alive(ReplicaId id);
  bool fits_somewhere(const Demand& demand) const;
  static Demand demand_of(const Sequence& sequence);
  void observe(Time now) { now_ = std::max(now_, now); }

  void cancel(RequestState& request, std::span<Sequence> sequences);

  // Ways of a sequence (see SequenceState).
  void leave(Sequence& sequence, SequenceState next);  // kRunning -> kLeaving or kEnded
  void end(Sequence& sequence);                        // any but kEnded -> kEnded
  void fail(Sequence& sequence, RejectReason reason);
  void fail_misfits(RejectReason reason);  // waiting ones that fit no known replica
  void settle(Sequence& sequence);  // no plan names it any more: blocks back, wait again or be forgotten
  void answered(Replica& replica, const PlanInFlight& plan);
  void emit(Sequence& sequence, FinishReason finish_reason, SequenceResult* result = nullptr);

  // plan(), in this order.
  void schedule_running(Draft& draft);
  void admit_waiting(Draft& draft);
  std::optional<StepPlan> commit(Draft& draft);
  void schedule(Draft& draft, Sequence& sequence, std::int32_t num_tokens, std::int32_t num_draft_tokens = 0);
  SpeculativeMode speculative_mode(const Sequence& sequence) const;
  DraftLength::Step draft_lengths(Replica& replica) const;
  std::int32_t num_draft_tokens(const Draft& draft, Sequence& sequence) const;
  bool make_room(Draft& draft, Sequence& sequence, std::int32_t num_tokens);
  Sequence& choose_victim(const Draft& draft, Sequence& needy) const;
  void admit(Draft& draft, Sequence& sequence);

  // apply()
  void deliver(Replica& replica, const PlannedSequence& planned, SequenceResult* result);
  static void observe_speculation(Replica& replica, const PlanInFlight& plan, const StepResult& result);

  void check_sequence(const Sequence& sequence) const;
  void check_replica(const Replica& replica) const;

  SchedulerConfig config_;
  PrefixCache prefix_cache_;
  std::unique_ptr<QueuePolicy> policy_;
  std::map<RequestId, RequestState> requests_;
  WaitingQueue waiting_;
  std::map<ReplicaId, Replica> replicas_;  // lost ones stay, with what they could hold
  std::vector<TokenEvent> events_;
  SchedulerStats counters_;  // the totals
  SequenceId last_sequence_id_ = 0;
  Time now_ = 0;
};

}  // namespace caudal
