// Placement: which replica gets which waiting sequence. It goes through the queue in the order of turns, on copies of
// what every replica has left, so that a replica leaves to the others what suits them better. What it has said holds
// until something changes, and is corrected by what has changed: a sequence that is placed stays where it is while
// everybody who waits is placed. As long as somebody finds no room, any change places all of them anew.
//
// A replica costs, in tokens: what the sequence has to compute there (all but the cached prefix), kNewTokenCost
// times, because computing a second copy of a prefix delays others and takes cache from them; what has to be
// computed there before; and kRunningTokens for every sequence that decodes beside it. So a prefix of n tokens
// brings at most n * kNewTokenCost / kRunningTokens more sequences to its replica than the least loaded one
// has: one hot prefix spreads over as many replicas as its load needs, and each of them caches it then.
// Blocks in host memory that are worth their way count as cached. Both constants: tests/bench/placement_bench.cpp.
//
// A sequence is not weighed against every replica: only those with the longest beginnings of it, as the block index
// tells, and the least loaded ones of its model are looked at. Owned by Lifecycle; engine thread.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "coordinator/scheduler/admission.h"
#include "coordinator/scheduler/prefix_cache.h"
#include "coordinator/sequence/sequence_map.h"
#include "coordinator/sequence/waiting_queue.h"

namespace caudal {

class Placement {
 public:
  static constexpr std::int64_t kRunningTokens = 32;
  static constexpr std::int64_t kNewTokenCost = 2;
  // Replicas looked at because they have a prefix, and because they are the least loaded.
  static constexpr std::size_t kMaxHolders = 16;

  // All of them outlive it.
  Placement(const SchedulerConfig& config, const PrefixCache& cache, const SequenceMap& sequences,
            WaitingQueue& waiting)
      : config_(config), cache_(cache), sequences_(sequences), waiting_(waiting) {}

  // --- what changes ---
  void replica_joined(const ReplicaState& replica);
  void replica_changed(const ReplicaState& replica);  // it may have room for others
  void replica_planned(const ReplicaState& replica);  // it has got more to do
  void replica_lost(ReplicaId id);
  void sequence_waits(SequenceId id);  // a new one in the queue
  void invalidate() { is_valid_ = false; }

  // Places whoever waits and is not placed; adds the replicas that get somebody to `due`.
  void update(std::set<ReplicaId>& due);

  // The sequences that go to the replica, in their order. A plan takes them from the front. If it cannot take all of
  // them, the rest is placed anew with the next change.
  std::optional<SequenceId> first(ReplicaId id) const;
  void take_first(ReplicaId id);
  void leave_rest(ReplicaId id);

  // To the first token, on the fastest replica or one that has the prefix, with nothing else to do; half of what is
  // measured, so that a slow neighbour turns no request away. 0 while any replica is unmeasured.
  Time best_case_us(Sequence& sequence);

  void check_integrity() const;

 private:
  struct Placed {
    SequenceId id = 0;
    Demand demand;  // with what the replica has cached
  };
  struct Candidate {
    const ReplicaState* replica = nullptr;
    Admission admission;
    std::int64_t load = 0;   // tokens
    bool is_closed = false;  // somebody waits for room here: nobody may overtake him
    bool is_stale = false;   // the replica has changed since
    bool is_listed = false;  // in by_load
    std::int64_t prompt_token_ns = 0;
    std::deque<Placed> placed{};

    // The load that it adds.
    std::int64_t take(const Demand& demand);
  };
  // The best of those that were looked at.
  struct Choice {
    Candidate* candidate = nullptr;
    Demand demand;
    std::int64_t cost = 0;
  };
  enum class Outcome { kPlaced, kPassed, kNoRoom };
  // The replicas of one model.
  struct Peers {
    std::map<std::pair<std::int64_t, ReplicaId>, Candidate*> by_load;   // those that have room left
    std::map<std::pair<std::int64_t, ReplicaId>, Candidate*> by_speed;  // by prompt_token_ns
  };

  Candidate* find(ReplicaId id) const { return id < candidates_.size() ? candidates_[id].get() : nullptr; }
  Peers& peers_of(ModelId model);
  void set_load(Candidate& candidate, std::int64_t load);
  void set_speed(Candidate& candidate, std::int64_t prompt_token_ns);
  void mark_stale(Candidate& candidate);
  void refresh();
  void clear();
  void place_all(std::set<ReplicaId>& due);
  Outcome place(Sequence& sequence, std::set<ReplicaId>& due);
  Choice choose(Sequence& sequence, const Demand& demand);
  bool consider(Candidate& candidate, Sequence& sequence, const Demand& demand, Choice& best) const;
  bool close(const Demand& demand);
  std::vector<PrefixHolder> find_holders(Sequence& sequence);

  const SchedulerConfig& config_;
  const PrefixCache& cache_;
  const SequenceMap& sequences_;
  WaitingQueue& waiting_;
  std::vector<std::unique_ptr<Candidate>> candidates_;  // by id; null: the replica is not up
  std::vector<Peers> peers_;                            // by ModelId
  std::vector<ReplicaId> stale_;
  std::set<ReplicaId> occupied_;  // to which somebody goes
  std::vector<ReplicaId> closed_;
  std::vector<SequenceId> arrived_;  // in the queue, since the last update
  std::set<RequestId> computing_;    // prompts that siblings of these requests need not compute
  bool is_valid_ = true;             // else all are placed anew
  bool are_all_placed_ = true;
};

}  // namespace caudal
