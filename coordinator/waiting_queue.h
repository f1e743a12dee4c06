// WaitingQueue: the one queue of the cluster, in the order of the policy's keys: new sequences, preempted
// ones and those of lost replicas alike. Knows who must have started by when. Holds no ownership.
#pragma once

#include <map>
#include <set>
#include <utility>

#include "coordinator/sequence.h"

namespace caudal {

class WaitingQueue {
 public:
  using Iterator = std::map<QueueKey, Sequence*>::const_iterator;

  std::int32_t size() const { return static_cast<std::int32_t>(queue_.size()); }
  Iterator begin() const { return queue_.begin(); }
  Iterator end() const { return queue_.end(); }

  void insert(Sequence& sequence);
  Iterator erase(Iterator position);
  void erase(const Sequence& sequence);

  // The next sequence that never started and whose deadline is before `now`; nullptr: none.
  Sequence* find_expired(Time now) const;

 private:
  std::map<QueueKey, Sequence*> queue_;
  std::set<std::pair<Time, QueueKey>> deadlines_;  // of sequences that never started
};

}  // namespace caudal
