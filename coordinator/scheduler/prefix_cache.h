// PrefixCache: what the scheduler does with prefixes: how much of a sequence a replica has, taking that at
// admission, publishing what an answer has confirmed. A sequence has its prefix from a sibling that runs there
// (n > 1: a fork, up to the last token of the prompt) or from the hash index (whole blocks): on the device, and in host
// memory where copying is cheaper than computing. KvManager keeps the blocks; this decides where to look. Off: a
// sequence finds only what was kept of itself when it was preempted; forks remain. Engine thread.
#pragma once

#include "coordinator/policy/scheduler_config.h"
#include "coordinator/scheduler/replica_state.h"

namespace caudal {

class PrefixCache {
 public:
  // `index` outlives it.
  PrefixCache(const SchedulerConfig& config, const BlockIndex& index)
      : enabled_(config.prefix_caching), key_(config.prefix_key), index_(index) {}

  // How much of the sequence is on the replica, as far as enter() takes it.
  CachedPrefix probe(Sequence& sequence, const ReplicaState& replica) const;

  // Up to `max_holders` replicas of this model with the longest beginnings of the sequence, the longest first: where
  // asking probe() is worth it. Equal ones take turns by sequence.
  std::vector<PrefixHolder> find_holders(Sequence& sequence, const std::string& model_digest,
                                         std::size_t max_holders) const;

  // Gives an entering sequence the blocks that are there; it goes on behind them. Some may have to arrive first. Of a
  // fork the partly filled last blocks are copies, to be made in its first plan.
  std::vector<BlockCopy> enter(Sequence& sequence, ReplicaState& replica) const;

  // Whether a sibling is computing the blocks that the sequence would have to compute as well.
  static bool is_under_way(const Sequence& sequence);
  // Whether that will be so for its siblings once the sequence is admitted with this prefix.
  static bool will_compute_for_siblings(const Sequence& sequence, const CachedPrefix& cached);
  // Whether the sequence can still use what a sibling computes.
  static bool shares_prompt(const Sequence& sequence);

  // Publishes the full blocks among the tokens that the worker has answered for. Plans in flight write
  // behind those.
  void publish(Sequence& sequence, ReplicaState& replica) const;

  // Of a preempted sequence that still has its blocks, and that no plan in flight names: has them copied to host memory
  // where that is cheaper than computing them again.
  void save(Sequence& sequence, ReplicaState& replica) const;

 private:
  struct Found {
    CachedPrefix cached;
    Tiers tiers = Tiers::kDevice;
  };

  // Whether anything of the sequence can be found by its content.
  bool is_findable(const Sequence& sequence) const { return enabled_ || sequence.num_preemptions > 0; }
  Found find(Sequence& sequence, const ReplicaState& replica) const;
  Prefix prefix(Sequence& sequence, const std::string& model_digest) const;
  Prefix usable_prefix(Sequence& sequence, const ReplicaState& replica) const;

  bool enabled_;
  HashKey key_;
  const BlockIndex& index_;
};

}  // namespace caudal
