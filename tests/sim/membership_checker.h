// MembershipChecker: who may be a replica, judged from the messages alone. Epochs rise and are never used again
// (S13), scheduler and cluster agree on who is there, a silent rank is not kept past its lease, and a replica is
// lost only for a reason that has happened: a rank that is heard in time keeps its place.
#pragma once

#include <map>
#include <set>
#include <string>

#include "coordinator/engine/engine_core.h"

namespace caudal::sim {

class MembershipChecker {
 public:
  explicit MembershipChecker(const ClusterConfig& config) : config_(config) {}

  // What the coordinator has read, before it acts on it.
  void heard(const Peer& peer, const FromWorker& message, Time now) {
    const auto* beat = std::get_if<Beat>(&message);
    const auto replica = replica_of_.find(peer);
    const bool counts =
        std::holds_alternative<Register>(message) ||
        (beat != nullptr && (replica == replica_of_.end() || beat->epoch == replicas_.at(replica->second).epoch));
    if (counts) heard_[peer] = now;
  }

  void joined(const Cluster::Joined& joined, const std::vector<Peer>& ranks, Time now) {
    CHECK_MSG(joined.epoch > last_epoch_, "an epoch was used again");
    last_epoch_ = joined.epoch;
    CHECK_MSG(replicas_.emplace(joined.id, Replica{joined.epoch, ranks, now, 0}).second, "a replica joined twice");
    CHECK(std::ssize(ranks) == joined.info.topology.num_ranks());
    for (const Peer& peer : ranks) replica_of_[peer] = joined.id;
  }

  void lost(const Cluster::Lost& lost, Time now) {
    const auto found = replicas_.find(lost.id);
    CHECK_MSG(found != replicas_.end(), "a replica was lost that was not there");
    const auto is_silent = [&](const Peer& peer) { return now - heard_.at(peer) > config_.lease_us; };
    if (lost.reason.ends_with("is silent")) {
      CHECK_MSG(std::ranges::any_of(found->second.ranks, is_silent), "a rank that was heard lost its lease");
    }
    if (lost.reason == "a step was not answered in time") {
      CHECK_MSG(now - found->second.progress_at > config_.step_timeout_us, "a step timed out too early");
    }
    for (const Peer& peer : found->second.ranks) replica_of_.erase(peer);
    replicas_.erase(found);
  }

  void sent_plan(ReplicaId id, Time now) {
    Replica& replica = replicas_.at(id);
    if (replica.num_unanswered++ == 0) replica.progress_at = now;
  }
  void applied(ReplicaId id, Time now) {
    Replica& replica = replicas_.at(id);
    --replica.num_unanswered;
    replica.progress_at = now;
  }

  // The coordinator itself stood still: that time counts against nobody.
  void stalled(Time gap, Time now) {
    for (auto& [peer, heard] : heard_) heard = std::min(heard + gap, now);
    for (auto& [id, replica] : replicas_) replica.progress_at = std::min(replica.progress_at + gap, now);
  }

  void check(const EngineCore& core, Time now) const {
    std::vector<ReplicaId> expected;
    for (const auto& [id, replica] : replicas_) {
      expected.push_back(id);
      const ReplicaStats stats = core.scheduler().replica_stats(id);
      CHECK_MSG(stats.alive && stats.epoch == replica.epoch, "scheduler and cluster disagree on a replica");
      CHECK_MSG(stats.num_plans_in_flight == replica.num_unanswered, "plans in flight are miscounted");
      for (const Peer& peer : replica.ranks) {
        CHECK_MSG(now - heard_.at(peer) <= config_.lease_us, "a silent rank was kept past its lease");
      }
      CHECK_MSG(replica.num_unanswered == 0 || now - replica.progress_at <= config_.step_timeout_us,
                "a stuck replica was kept");
    }
    CHECK_MSG(core.cluster().replicas() == expected, "a replica is in the cluster that nobody knows");
  }

 private:
  struct Replica {
    Epoch epoch;
    std::vector<Peer> ranks;
    Time progress_at;
    int num_unanswered;
  };

  ClusterConfig config_;
  Epoch last_epoch_ = 0;
  std::map<ReplicaId, Replica> replicas_;
  std::map<Peer, ReplicaId> replica_of_;
  std::map<Peer, Time> heard_;
};

}  // namespace caudal::sim
