// Replica: what the scheduler keeps about one replica of one epoch: its blocks, its slots, who runs there
// and which plans have no answer yet. Plain state of Scheduler, split off to be readable.
#pragma once

#include <vector>

#include "coordinator/policy/draft_length.h"
#include "coordinator/policy/step_budget.h"
#include "coordinator/scheduler/scheduler_config.h"
#include "coordinator/scheduler/sequence.h"

namespace caudal {

// One line of a plan, remembered until its answer. The sequence outlives it: see RequestState::num_held.
struct PlannedSequence {
  Sequence* sequence = nullptr;
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
  std::int64_t swap_us = 0;     // that its copies from and to the host take, as measured at start
};

struct Replica {
  Replica(BlockIndex& index, ReplicaId id_, Epoch epoch_, const ReplicaInfo& info_);

  Admission admission(const SchedulerConfig& config, std::int32_t num_tokens_left) const;
  std::int32_t num_running() const { return static_cast<std::int32_t>(running.size()); }
  void insert_running(Sequence& sequence);
  void remove_departed();  // everyone who is no longer running

  ReplicaId id;
  Epoch epoch;
  ReplicaInfo info;
  bool alive = true;
  KvManager kv;
  HostPool host;                        // what preempted sequences have in host memory
  std::vector<Sequence*> running;       // in the order of their keys
  std::vector<SlotId> free_slots;       // may be given out again in the plan that releases them
  std::vector<SlotId> to_release;       // for the next plan
  std::vector<PlanInFlight> in_flight;  // oldest first
  DraftLength draft_length;
  StepId last_step_id = 0;
  StepBudget step_budget;                  // what steps take here
  std::int32_t num_leaving_blocks = 0;     // of sequences that left; free once their plans are answered
  std::int64_t num_uncomputed_tokens = 0;  // known and not answered, of running sequences: the backlog

  // For metrics.
  std::uint64_t num_preemptions = 0;
  std::uint64_t num_tokens_computed = 0;
  std::uint64_t num_prompt_tokens_computed = 0;  // of these
  std::uint64_t num_prefix_tokens_queried = 0;   // at admissions
  std::uint64_t num_prefix_tokens_hit = 0;       // of these
  std::uint64_t num_sequences_swapped_out = 0;
  std::uint64_t num_sequences_swapped_in = 0;
  std::uint64_t num_blocks_swapped_out = 0;  // in plans
  std::uint64_t num_blocks_swapped_in = 0;
};

}  // namespace caudal
