// WaitingQueue: the one queue of the cluster: new sequences, preempted ones and those of lost replicas alike.
// The most urgent rank goes first; within it the tenant that was served least; within a tenant the policy's
// order. But every n-th turn is the oldest sequence's, whatever its rank and tenant: so a sequence that has k
// older ones before it has its turn within n * (k + 1) turns, whoever else comes. Holds no ownership.
//
// A turn costs O(log n). Counters of tenants rise while their lanes stay where they are: a lane that comes to
// the front with an outdated counter is moved back first.
#pragma once

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "coordinator/sequence/sequence.h"
#include "coordinator/sequence/sequence_map.h"

namespace caudal {

class WaitingQueue {
 public:
  // `oldest_every` = n above; 0: never. The table holds every sequence of the queue; it and the tenants outlive it.
  WaitingQueue(const SequenceMap& sequences, Tenants& tenants, std::int32_t oldest_every)
      : sequences_(sequences), tenants_(tenants), oldest_every_(oldest_every) {}

  std::int32_t size() const { return static_cast<std::int32_t>(by_age_.size()); }
  // Sequences that one in the queue stands there for: itself, or all beams of a search.
  static std::int32_t num_waiting_with(const Sequence& sequence) {
    const Request& request = sequence.request->request;
    return request.beam ? request.num_running() : 1;
  }
  // The oldest first: arrival, id.
  const auto& by_age() const { return by_age_; }

  void insert(Sequence& sequence);
  void erase(Sequence& sequence);

  // The sequence has its turn: a replica is going to take it. Counts once.
  void count_turn(Sequence& sequence);

  // A sequence that never started and whose alarm (Sequence::alarm) is before `now`; nullptr: none.
  Sequence* find_alarm(Time now) const;

  // CHECKs that alarms are those of waiting sequences, at the times they ask for.
  void check_integrity() const;

 private:
  friend class QueueWalk;
  struct Lane {  // of one tenant in one rank
    std::int64_t service_seen = 0;
    std::set<QueueKey> sequences;
  };
  struct Rank {
    std::map<std::uint64_t, Lane> lanes;                     // by tenant
    std::set<std::pair<std::int64_t, std::uint64_t>> order;  // service_seen, tenant
  };
  using Age = std::pair<Time, SequenceId>;

  static Age age(const Sequence& sequence);
  void link(Sequence& sequence);
  void unlink(Sequence& sequence);
  Sequence& front();  // whose turn it is; the queue is not empty

  const SequenceMap& sequences_;
  Tenants& tenants_;
  const std::int32_t oldest_every_;
  std::int32_t turns_to_oldest_ = 0;
  std::map<std::int64_t, Rank> ranks_;
  std::set<Age> by_age_;
  std::set<Age> alarms_;  // by the time of the alarm
};

// Shows the queue in the order of turns, without changing it but for the turns.
class QueueWalk {
 public:
  explicit QueueWalk(WaitingQueue& queue) : queue_(queue) {}
  ~QueueWalk();
  QueueWalk(const QueueWalk&) = delete;
  QueueWalk& operator=(const QueueWalk&) = delete;

  // nullptr: that was all.
  Sequence* next();

 private:
  WaitingQueue& queue_;
  std::vector<SequenceId> shown_;
};

}  // namespace caudal
