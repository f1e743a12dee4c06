// PatienceChecker: who may be refused because no replica is up, and who must be. It knows when replicas came and went,
// and nothing of how the coordinator keeps time. Nobody is refused for want of a replica while one is up that could
// hold the request, nor before it has waited its time; nobody waits longer than that, except for a deadline of its own
// (S19).
#pragma once

#include <limits>

#include "coordinator/engine/engine_core.h"
#include "tests/sim/queue_checker.h"

namespace caudal::sim {

class PatienceChecker {
 public:
  explicit PatienceChecker(const EngineConfig& config) : config_(config) {}

  void joined(const Cluster::Joined& joined) { lives_.push_back({joined.id, joined.info, kNever}); }
  void lost(const Cluster::Lost& lost, Time now) {
    const auto is_it = [&](const Life& life) { return life.id == lost.id && life.end == kNever; };
    std::ranges::find_if(lives_, is_it)->end = now;
  }

  // A request was refused with kNoReplica.
  void refused(const Promise& promise, Time now) const {
    for (const Life& life : lives_) {
      CHECK_MSG(life.end != kNever || !QueueChecker::fits(config_.scheduler, life.info, promise),
                "refused for want of a replica while one is up");
    }
    CHECK_MSG(
        now - last_up(now) <= config_.no_replica_wait_us || now - promise.request.arrival > config_.no_replica_wait_us,
        "refused for want of a replica before it has waited");
  }

  // At the end of a turn.
  void check(const Ledger& ledger, Time now) const {
    if (now - last_up(now) <= config_.no_replica_wait_us) return;
    ledger.for_each_live([&](const Promise& promise, const Stream& stream) {
      const bool waits_for_start = stream.num_admissions == 0 && promise.request.deadline;
      CHECK_MSG(waits_for_start || now - promise.request.arrival <= config_.no_replica_wait_us,
                "a request waits without end for a replica");
    });
  }

 private:
  static constexpr Time kNever = std::numeric_limits<Time>::max();

  struct Life {
    ReplicaId id;
    ReplicaInfo info;
    Time end;
  };

  // The last moment at which any replica was up; the start if there was none.
  Time last_up(Time now) const {
    Time last = 0;
    for (const Life& life : lives_) last = std::max(last, std::min(life.end, now));
    return last;
  }

  const EngineConfig& config_;
  std::vector<Life> lives_;  // of replicas, in the order of their coming
};

}  // namespace caudal::sim
