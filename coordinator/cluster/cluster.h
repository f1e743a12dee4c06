// Cluster: who is alive. Groups ranks into replicas, issues epochs, renews leases, and decides when a
// replica has left. A pure state machine like the scheduler: it takes messages and the time and answers
// with actions; the engine thread owns it.
//
// A replica exists from the Welcome after its last rank registered until one of: a rank's link is gone or
// silent for the lease, a rank failed or registered anew, or a step stayed unanswered past its timeout.
// The epoch is never used again. If the replica was idle and a rank merely lost its link, its ranks are
// asked to register again and keep their weights; otherwise they must shut down.
#pragma once

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/result.h"
#include "common/wire.h"
#include "coordinator/request/model_registry.h"
#include "coordinator/request/request.h"

namespace caudal {

using Peer = std::string;  // a link's routing id

struct ClusterConfig {
  Time lease_us = 10'000'000;          // a rank not heard for this long is gone
  Time step_timeout_us = 120'000'000;  // a plan unanswered for this long means a hung rank
  Time beat_interval_us = 500'000;     // between LeaseBeats
  Time registration_us = 60'000'000;   // all ranks must register within this of the first
  ModelRegistry models{};              // replicas of other models are refused
  Epoch first_epoch = 1;
};

class Cluster {
 public:
  struct Send {
    std::vector<Peer> peers;
    ToWorker message;
  };
  struct Joined {
    ReplicaId id;
    Epoch epoch;
    ReplicaInfo info;
  };
  struct Lost {
    ReplicaId id;
    Epoch epoch;
    ModelId model;
    std::string reason;
  };
  // What the caller must do: first the losses, then the joins; sends in order.
  struct Actions {
    std::vector<Lost> lost;
    std::vector<Joined> joined;
    std::vector<Send> sends;
  };

  explicit Cluster(const ClusterConfig& config) : config_(config), next_epoch_(config.first_epoch) {}

  Actions on_register(const Peer& peer, const Register& message, Time now);
  Actions on_beat(const Peer& peer, const Beat& message, Time now);
  Actions on_failed(const Peer& peer, const Failed& message, Time now);
  Actions on_peer_gone(const Peer& peer, Time now);
  Actions on_tick(Time now);

  // The replica a result may be applied to: the peer is its rank 0 and the epoch is current.
  std::optional<ReplicaId> replica_for_result(const Peer& peer, Epoch epoch) const;
  // Its rank 0 has sent what cannot be: it leaves.
  Actions on_impossible_result(ReplicaId id, const Error& error);
  void on_plan_sent(ReplicaId id, Time now);
  void on_result(ReplicaId id, Time now);

  const std::vector<Peer>& ranks(ReplicaId id) const;
  const ReplicaInfo& info(ReplicaId id) const;
  std::vector<ReplicaId> replicas() const;
  // Members that are not stuck: no plan has waited longer than `patience_us`.
  int num_responsive(Time now, Time patience_us) const;
  // Sends every rank away; used at shutdown.
  Actions shut_down(std::string_view reason);

 private:
  struct Group;
  // Every result and plan reads these: what they read stands first.
  struct Rank {
    const Group* group = nullptr;  // under replica_key
    std::uint32_t rank = 0;
    Time last_heard = 0;
    std::string replica_key;
  };
  struct Group {                  // by replica_key
    std::optional<ReplicaId> id;  // empty: forming
    int num_unanswered = 0;
    Epoch epoch = 0;
    Time progress_at = 0;     // when the oldest unanswered plan began to count
    Time since = 0;           // of the first registration
    std::vector<Peer> ranks;  // index = rank; empty = not registered yet
    ReplicaInfo info;
  };

  std::optional<std::string> why_refused(const Register& message) const;
  void complete(Group& group, Actions& actions, Time now);
  enum class Fate { kShutdown, kRejoin };
  void dissolve(const std::string& key, std::string_view reason, Fate fate, Actions& actions);
  Fate fate_of_link_loss(const std::string& key) const;
  void forgive_own_stall(Time now);
  void end_overdue(Actions& actions, Time now);
  void look_by(Time time) { look_at_ = std::min(look_at_, time); }
  ReplicaId smallest_free_id() const;
  const Group& member(ReplicaId id) const;
  Group* find(ReplicaId id) const { return id < by_id_.size() ? by_id_[id] : nullptr; }

  ClusterConfig config_;
  Epoch next_epoch_;
  std::unordered_map<Peer, Rank> ranks_;  // each result looks here
  std::map<std::string, Group> groups_;
  std::vector<Group*> by_id_;  // of members; null: the id is free
  std::optional<Time> last_tick_;
  static constexpr Time kNever = std::numeric_limits<Time>::max();
  Time look_at_ = kNever;  // nobody's time is up before; so that a turn need not look at a thousand leases
  Time next_beat_ = 0;
};

}  // namespace caudal
