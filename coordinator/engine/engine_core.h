// EngineCore: what the engine does in one turn, without its thread, queue and sockets: takes what came, lets
// Cluster and Scheduler change, sends plans and farewells, hands tokens to the clients. It takes the time as
// an argument and reaches the world through an Outlet, so that a simulation runs this very code under a simulated
// clock. One thread (the engine's).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "coordinator/cluster/cluster.h"
#include "coordinator/metrics/metrics.h"
#include "coordinator/request/request_service.h"
#include "coordinator/scheduler/scheduler.h"
#include "coordinator/sequence/id_map.h"

namespace caudal {

struct EngineConfig {
  SchedulerConfig scheduler;
  ClusterConfig cluster;
  Time no_replica_wait_us = 30'000'000;  // how long a request waits for a replica, and a lost one is waited for
  Time patience_us = 10'000'000;         // /health: a plan may wait this long before its replica counts as stuck
};

class EngineCore {
 public:
  class Outlet {
   public:
    virtual ~Outlet() = default;
    virtual void send(std::vector<Peer> peers, ToWorker message) = 0;
    virtual void on_joined(const Cluster::Joined& joined) = 0;
    virtual void on_lost(const Cluster::Lost& lost) = 0;
    virtual void on_step(ReplicaId replica, const StepSample& sample) = 0;  // a result was applied
    virtual void on_stale_result() = 0;
    virtual void on_first_plan(ReplicaId replica, Time queue_us) = 0;  // of a sequence
    virtual void on_refused(RejectReason) {}                           // a sequence ended with an error
  };

  // The outlet outlives the core and must not call back.
  EngineCore(const EngineConfig& config, Outlet& outlet);

  void submit(Request request, std::shared_ptr<TokenSink> sink, Time now);
  void cancel(RequestId id, Time now);
  void cancel(RequestId id, std::int32_t sequence_index, Time now);
  void take(const Peer& peer, FromWorker message, Time now);
  void take_peer_gone(const Peer& peer, Time now);

  // After everything that came: leases, plans, events.
  void finish_turn(Time now);

  // Ends everything that waits or runs, with a last event (kAbort) each.
  void abort_all(Time now);

  // Tells the workers to go; unfinished sequences end with kAbort.
  void say_goodbye();

  const Scheduler& scheduler() const { return scheduler_; }
  const Cluster& cluster() const { return cluster_; }

 private:
  struct Client {
    std::shared_ptr<TokenSink> sink;
    std::vector<bool> finished;  // by sequence index; cancelled counts
  };
  struct Presence {  // of a model's replicas
    std::int32_t num_replicas = 0;
    Time gone_since = 0;  // without any
  };
  void take_result(const Peer& peer, StepResult result, Time now);
  void carry_out(Cluster::Actions actions, Time now);
  void forget_lost_replicas(Time now);
  void give_up_without_replica(Time now);
  void send_plans(Time now);
  void hand_out_all(std::vector<TokenEvent> events);
  void hand_out(TokenEvent event);
  void abort_clients();
  void finish(RequestId id, Client& client, std::int32_t sequence_index);

  Time no_replica_wait_us_;
  Outlet& outlet_;
  Scheduler scheduler_;
  Cluster cluster_;
  IdMap<Client> clients_;
  std::map<Epoch, Time> lost_at_;   // replicas whose like may come back
  std::vector<Presence> presence_;  // by ModelId
};

}  // namespace caudal
