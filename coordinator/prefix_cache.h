// PrefixCache: what the scheduler does with prefixes: how much of a sequence a replica has, taking that at
// admission, publishing what an answer has confirmed. All of it in the pool of the replica: KvManager finds
// and keeps the blocks, this decides under which root. Off: nothing is found or published. Engine thread.
#pragma once

#include "coordinator/scheduler_config.h"
#include "coordinator/scheduler_replica.h"

namespace caudal {

class PrefixCache {
 public:
  explicit PrefixCache(const SchedulerConfig& config)
      : enabled_(config.prefix_caching), key_(config.prefix_key) {}

  // How much of the sequence is on the replica.
  CachedPrefix probe(Sequence& sequence, const Replica& replica) const;

  // Gives an entering sequence the blocks that are there; it goes on behind them.
  void enter(Sequence& sequence, Replica& replica) const;

  // Publishes the full blocks among the tokens that the worker has answered for. Plans in flight write
  // behind those.
  void publish(Sequence& sequence, Replica& replica) const;

 private:
  Prefix prefix(Sequence& sequence, const Replica& replica) const;

  bool enabled_;
  HashKey key_;
};

}  // namespace caudal
