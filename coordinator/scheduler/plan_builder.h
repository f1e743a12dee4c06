// PlanBuilder: one plan of one replica: running sequences first (decodes, then prompts in queue order), then waiting
// ones, as long as tokens, sequences and blocks last. What it changes is what the plan says; who finds no room is left
// as he was. Groups of sequences that enter in their own way call it back. Lives for one Scheduler::plan().
#pragma once

#include <optional>
#include <vector>

#include "coordinator/scheduler/lifecycle.h"
#include "coordinator/scheduler/prefix_cache.h"
#include "coordinator/scheduler/speculation.h"

namespace caudal {

class PlanBuilder {
 public:
  PlanBuilder(Lifecycle& life, const PrefixCache& prefix_cache, ReplicaState& replica);

  // In this order.
  void schedule_running();
  void admit_waiting();
  // Sends the plan. Empty: there is nothing to compute or to copy; slots to release wait for a plan that has something.
  std::optional<StepPlan> finish();

  // --- for SequenceGroup ---
  Lifecycle& life() { return life_; }
  ReplicaState& replica() { return replica_; }
  // Tokens of `num_wanted` that this step still takes.
  std::int32_t chunk(std::int32_t num_wanted) const { return left_.chunk(num_wanted); }
  // Whether so many blocks are free, after preemptions if these help. False: not in this step. Blocks that plans in
  // flight or transfers still name come back by themselves, so nobody leaves for those.
  bool free_blocks(Sequence& needy, std::int32_t num_blocks);
  void copy_block(const BlockCopy& copy);
  // Sends the worker all of a sequence.
  void send_whole(Sequence& sequence);
  // Adds work for a running sequence, unless it has to wait for blocks.
  void schedule(Sequence& sequence, std::int32_t num_tokens, std::int32_t num_draft_tokens = 0);

 private:
  void schedule_decodes();
  void schedule_prompts();
  void limit_prompts();
  bool make_room(Sequence& sequence, std::int32_t num_tokens);
  Sequence* choose_victim(Sequence& needy) const;
  std::int32_t limit_logprobs(const Sequence& sequence, std::int32_t num_tokens, std::int32_t num_draft_tokens);
  void admit(Sequence& sequence, const Demand& demand);

  Lifecycle& life_;
  const SchedulerConfig& config_;
  const PrefixCache& prefix_cache_;
  ReplicaState& replica_;
  Admission left_;
  StepPlan plan_;
  PlanInFlight record_;
  StepSpeculation speculation_;
  std::vector<Sequence*> prompts_;  // running, with more than one token to compute
  std::size_t num_walked_ = 0;      // running sequences before this index have had their turn
  Time itl_target_us_ = 0;          // the tightest of the sequences that decode; 0: none
  std::int64_t num_logprobs_ = 0;   // that the answer may hold
  bool short_of_blocks_ = false;    // somebody had to wait or to leave: admit nobody
};

}  // namespace caudal
