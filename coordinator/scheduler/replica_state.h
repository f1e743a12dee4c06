// ReplicaState: what the scheduler keeps about one replica of one epoch: its blocks, its slots, who runs there and
// which plans have no answer yet. It owns the ways of a sequence on the replica (admit, change, leave, give back) and
// the sums over its sequences, so that these cannot part. Owned by Lifecycle; engine thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include <boost/container/small_vector.hpp>

#include "coordinator/policy/draft_length.h"
#include "coordinator/policy/step_budget.h"
#include "coordinator/scheduler/admission.h"
#include "coordinator/sequence/sequence.h"

namespace caudal {

struct SchedulerConfig;

// One line of a plan, remembered until its answer. The sequence is known until then: see RequestState::num_held.
struct PlannedSequence {
  SequenceId sequence = 0;
  SlotId slot = 0;
  std::int32_t num_tokens = 0;
  std::int32_t max_new_tokens = 0;    // that its result may carry
  std::int32_t num_draft_tokens = 0;  // of num_tokens
};

struct PlanInFlight {
  StepId step_id = 0;
  StepLoad load{};
  std::vector<PlannedSequence> sequences;
  std::vector<BlockId> copied;  // sources of its copies, kept until it is answered
};

// Totals, for metrics.
struct ReplicaCounters {
  std::uint64_t num_preemptions = 0;
  std::uint64_t num_tokens_computed = 0;
  std::uint64_t num_prompt_tokens_computed = 0;  // of these
  std::uint64_t num_prefix_tokens_queried = 0;   // at admissions
  std::uint64_t num_prefix_tokens_hit = 0;       // of these
  std::uint64_t num_sequences_to_host = 0;       // preempted ones that kept blocks there
  std::uint64_t num_sequences_from_host = 0;
  std::uint64_t num_blocks_to_host = 0;  // in plans
  std::uint64_t num_blocks_from_host = 0;
};

class ReplicaState {
 public:
  // `index` outlives it.
  ReplicaState(BlockIndex& index, ReplicaId id, Epoch epoch, const ReplicaInfo& info);

  ReplicaId id() const { return id_; }
  Epoch epoch() const { return epoch_; }
  const ReplicaInfo& info() const { return info_; }
  bool is_alive() const { return is_alive_; }

  KvManager& kv() { return kv_; }
  const KvManager& kv() const { return kv_; }
  StepBudget& step_budget() { return step_budget_; }
  const StepBudget& step_budget() const { return step_budget_; }
  DraftLength& draft_length() { return draft_length_; }
  ReplicaCounters& counters() { return counters_; }
  const ReplicaCounters& counters() const { return counters_; }

  // --- its sequences ---
  const std::vector<Sequence*>& running() const { return running_; }  // in the order of their keys
  std::int32_t num_running() const { return static_cast<std::int32_t>(running_.size()); }
  std::int64_t num_uncomputed_tokens() const { return num_uncomputed_tokens_; }  // of running ones: the backlog
  // Of sequences that have left; they are free once the plans in flight are answered.
  std::int32_t num_leaving_blocks() const { return num_leaving_blocks_; }
  Admission admission(const SchedulerConfig& config, std::int32_t num_tokens_left) const;

  // The sequence runs here from now on, in a free slot. There is one.
  void admit(Sequence& sequence, std::int32_t token_limit);
  // The worker gets the whole sequence with the plan that is being built. What it has in the slot goes first.
  void send_whole(Sequence& sequence);
  // `change` alters what a running sequence knows, or what of it is computed.
  template <typename Change>
  void change(const Sequence& sequence, Change change) {
    num_uncomputed_tokens_ -= sequence.num_uncomputed();
    change();
    num_uncomputed_tokens_ += sequence.num_uncomputed();
  }
  // The sequence runs no more and has no slot; its blocks stay with it. It remains in running() until
  // remove_departed(), because somebody may be walking that.
  void leave(Sequence& sequence, SequenceState next);
  void remove_departed();
  // Of a sequence that has left, and that no plan names any more.
  void give_blocks_back(Sequence& sequence);

  // --- its plans ---
  bool may_plan(std::int32_t max_plans_in_flight) const;
  StepId next_step_id() const { return last_step_id_ + 1; }
  std::span<const PlanInFlight> plans_in_flight() const { return in_flight_; }  // oldest first
  // Whether a plan is due although there is nothing to compute: transfers start, or run with no plan in flight whose
  // answer would tell of their end.
  bool must_hear_of_transfers() const;
  // Gives the plan its number, the slots that have become free and the transfers that are due. It is in flight then.
  void send(StepPlan& plan, PlanInFlight record);
  // Whether it answers the oldest plan in flight.
  bool is_answered_by(const StepResult& result) const;
  PlanInFlight take_oldest();
  // The worker says so. Who has waited for its blocks goes on.
  void end_transfers(const std::vector<TransferId>& ended);

  // The replica is gone: nothing of it is found any more. Its sequences have to leave.
  void lose();

  // CHECKs slots, order and bounds.
  void check_integrity(const SchedulerConfig& config) const;

 private:
  ReplicaId id_;
  Epoch epoch_;
  ReplicaInfo info_;
  bool is_alive_ = true;
  KvManager kv_;
  std::vector<Sequence*> running_;
  bool has_departed_ = false;                                  // some of these run no more
  std::vector<SlotId> free_slots_;                             // may be given out again in the plan that releases them
  std::vector<SlotId> to_release_;                             // with the next plan
  boost::container::small_vector<PlanInFlight, 2> in_flight_;  // oldest first
  std::vector<TransferId> unconfirmed_;                        // have ended, and no plan says so yet
  DraftLength draft_length_;
  StepId last_step_id_ = 0;
  StepBudget step_budget_;  // what steps take here
  std::int32_t num_leaving_blocks_ = 0;
  std::int64_t num_uncomputed_tokens_ = 0;
  ReplicaCounters counters_;
};

}  // namespace caudal
