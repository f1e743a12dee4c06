// Lifecycle: every request, sequence and replica that the scheduler knows, and the ways of a sequence through its
// states (see SequenceState). Nothing else changes a state, so that queue, slots, blocks, placement and counters go
// along with it. Part of Scheduler, and handed to those who plan and who take answers; engine thread.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "coordinator/kv/arena.h"
#include "coordinator/policy/queue_policy.h"
#include "coordinator/policy/scheduler_config.h"
#include "coordinator/request/request.h"
#include "coordinator/request/scheduler_stats.h"
#include "coordinator/scheduler/placement.h"
#include "coordinator/scheduler/replica_state.h"
#include "coordinator/sequence/sequence_map.h"
#include "coordinator/sequence/waiting_queue.h"

namespace caudal {

class Lifecycle {
 public:
  // Both outlive it.
  Lifecycle(const SchedulerConfig& config, const PrefixCache& prefix_cache);
  ~Lifecycle();
  Lifecycle(const Lifecycle&) = delete;
  Lifecycle& operator=(const Lifecycle&) = delete;

  const SchedulerConfig& config() const { return config_; }
  Time now() const { return now_; }
  void observe(Time now) { now_ = std::max(now_, now); }

  // --- requests ---
  // The request with its sequences, to be accepted or refused next. Its id is new, its tenant known.
  RequestState& add(Request request, const QueuePolicy& policy);
  void accept(RequestState& request);  // its sequences wait
  void refuse(RequestState& request);  // leaves nothing behind
  RequestState* find(RequestId id);
  Sequence& sequence(SequenceId id) const { return sequences_[id]; }
  void fetch(SequenceId id) const { sequences_.fetch(id); }
  Tenants& tenants() { return tenants_; }
  const Tenants& tenants() const { return tenants_; }
  WaitingQueue& waiting() { return waiting_; }
  const WaitingQueue& waiting() const { return waiting_; }
  Placement& placement() { return placement_; }

  // --- replicas ---
  std::map<ReplicaId, ReplicaState>& replicas() { return replicas_; }  // lost ones stay, with what they could hold
  const std::map<ReplicaId, ReplicaState>& replicas() const { return replicas_; }
  ReplicaState* find_alive(ReplicaId id) const { return id < alive_.size() ? alive_[id] : nullptr; }
  bool is_any_alive() const;
  void join(BlockIndex& index, ReplicaId id, Epoch epoch, const ReplicaInfo& info);
  // The same way as a preemption: everyone leaves, and every plan counts as answered.
  void lose(ReplicaState& replica);
  // The one that was lost in this epoch is not expected back. False: nothing is known of it.
  bool forget_lost(Epoch epoch);
  // Whether there is a replica like this, be it up or one that was lost and may come back.
  template <typename Like>
  bool knows(Like like) const {
    return std::ranges::any_of(replicas_, [&](const auto& entry) { return like(entry.second.info()); }) ||
           std::ranges::any_of(replaced_, [&](const auto& entry) { return like(entry.second); });
  }
  // Whether one that is known could ever hold it; yes, while none is known.
  bool fits_somewhere(const Demand& demand) const;
  // Replicas where something has happened since they last had nothing to plan.
  std::set<ReplicaId>& due() { return due_; }

  // --- ways of a sequence ---
  void start(Sequence& sequence, ReplicaState& replica);  // kWaiting -> kRunning; it has left the queue
  void preempt(Sequence& sequence);                       // kRunning -> kLeaving, with all that are bound to it
  void end(Sequence& sequence);                           // any but kEnded -> kEnded
  void finish(Sequence& sequence);                        // the same, of one that came to its end
  void cancel(std::span<Sequence> sequences);             // the same, of those of one request that have not ended yet
  void fail(Sequence& sequence, RejectReason reason);     // the same, with all that are bound to it and an event
  // A plan is answered, or its replica is gone: its sequences may go on their ways.
  void answered(ReplicaState& replica, const PlanInFlight& plan);
  // Another place in the queue, because it is too late for its target.
  void give_up_target(Sequence& sequence, const QueuePolicy& policy);

  void emit(Sequence& sequence, FinishReason finish_reason, SequenceResult* result = nullptr);
  std::vector<TokenEvent> take_events();

  SchedulerStats stats() const;

  // CHECKs every invariant that can be seen from here. Linear in everything.
  void check_integrity() const;

 private:
  class Hold;

  void forget(RequestState& request);
  void wait(Sequence& sequence);                       // in the queue, once all that are bound to it do
  void leave(Sequence& sequence, SequenceState next);  // kRunning -> kLeaving or kEnded
  void settle(Sequence& sequence);                     // no plan names it: blocks back, wait again or be forgotten
  void check_sequence(const Sequence& sequence) const;
  void check_tenants() const;
  void check_replica(const ReplicaState& replica) const;

  const SchedulerConfig& config_;
  const PrefixCache& prefix_cache_;
  Arena<RequestState> arena_;  // of the requests with their sequences
  IdMap<RequestState*> requests_;
  SequenceMap sequences_;
  Tenants tenants_;
  WaitingQueue waiting_;
  std::map<ReplicaId, ReplicaState> replicas_;
  std::map<Epoch, ReplicaInfo> replaced_;  // lost ones whose ids others have by now
  std::vector<ReplicaState*> alive_;       // of these, by id; null: there is none, or it is lost
  Placement placement_;
  std::set<ReplicaId> due_;
  std::vector<TokenEvent> events_;
  SchedulerStats counters_;
  SequenceId last_sequence_id_ = 0;
  Time now_ = 0;
};

}  // namespace caudal
