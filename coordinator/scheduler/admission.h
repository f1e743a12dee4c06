// Admission: what one replica has left in one step (tokens, sequences, blocks), and whether a waiting sequence fits
// into it as a whole. A plain value: placement plans on copies of it. Also the rule of how a long prompt is cut.
#pragma once

#include <algorithm>

#include "common/types.h"
#include "coordinator/kv/kv_manager.h"
#include "coordinator/sequence/sequence.h"

namespace caudal {

struct SchedulerConfig;

// What a waiting sequence asks for.
struct Demand {
  std::int32_t num_prompt_tokens = 0;
  std::int32_t max_new_tokens = 0;  // of the whole request, not of what is left
  std::int32_t num_tokens = 0;      // known now: prompt, and what was generated before
  CachedPrefix cached = {};         // of these, on the replica in question
  bool never_preempted = false;     // gets the blocks for all it can become at once
  std::int32_t num_together = 1;    // sequences that enter together and share the blocks of the prompt
  ModelId model = 0;

  std::int32_t num_uncached() const { return num_tokens - cached.num_tokens; }
};

// Of a sequence that waits, or of one that enters from a sibling.
Demand demand_of(const SchedulerConfig& config, const Sequence& sequence);
// The longest the sequence can get on this replica.
std::int32_t token_limit(const ReplicaInfo& info, const Demand& demand);
// Tokens it gets blocks for when it is admitted, and the free blocks of all KV groups that go: new ones, and cached
// ones that nobody holds yet.
std::int32_t entry_tokens(const ReplicaInfo& info, const Demand& demand);
std::int32_t entry_blocks(const ReplicaInfo& info, const Demand& demand);
// Blocks of each KV group for `num_tokens` tokens of a further one of those that enter together: not the prompt's,
// which the first has.
std::int32_t further_blocks(const Demand& demand, std::int32_t num_tokens);
// Whether the replica has the model and could run the sequence to its end if it were alone there.
bool can_ever_fit(const ReplicaInfo& info, const Demand& demand);
bool can_ever_fit(const SchedulerConfig& config, const ReplicaInfo& info, const Demand& demand);

// Who is on the replica at the moment.
struct Occupancy {
  std::int32_t num_running = 0;
  std::int32_t num_free_blocks = 0;
  std::int32_t num_tokens_left = 0;  // of this step's budget
};

class Admission {
 public:
  // Keeps a reference to the replica's info.
  Admission(const SchedulerConfig& config, const ReplicaInfo& info, const Occupancy& occupancy);
  Admission(const SchedulerConfig& config, ReplicaInfo&& info, const Occupancy& occupancy) = delete;

  // Tokens of a prompt of `num_wanted` that are computed in this step. Without chunked prefill it is all
  // or none, except of a prompt that no step can hold.
  std::int32_t chunk(std::int32_t num_wanted) const;
  bool admits(const Demand& demand) const;
  // The part of it that is about slots and blocks.
  bool has_room(const Demand& demand) const;
  void take(const Demand& demand);
  void take_room(const Demand& demand);  // all but the tokens
  void take_tokens(std::int32_t num_tokens) { num_tokens_ -= num_tokens; }
  void limit_tokens(std::int32_t num_tokens);

  // Whether nobody fits any more: the least that a sequence needs is a token, a slot and a block of each KV group.
  bool exhausted() const {
    return num_tokens_ <= 0 || num_sequences_ <= 0 || num_blocks_ < reserve_ + info_->num_kv_groups();
  }
  std::int32_t num_tokens() const { return num_tokens_; }

 private:
  const ReplicaInfo* info_;
  bool chunked_prefill_;
  std::int32_t max_tokens_;  // of a step
  std::int32_t num_tokens_;
  std::int32_t num_sequences_;
  std::int32_t num_blocks_;
  // Free blocks that must remain: one per running sequence and KV group. So each of them gets at least 16 more tokens
  // before somebody has to be preempted again, and a preempted sequence does not come back too early.
  std::int32_t reserve_;
};

}  // namespace caudal
