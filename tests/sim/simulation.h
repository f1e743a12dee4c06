// Simulation: a whole cluster under one seed. The shipped EngineCore (scheduler, membership, turns) with simulated
// links, jobs of ranks and clients, under a simulated clock. Anything can happen at any step: delays, losses,
// doubled and overtaking messages, deaths, pauses, new lives, wrong epochs, cancels, slow clients, pools of a few
// blocks, a coordinator that stands still. CHECKs the invariants after every turn; finish() ends the faults,
// lets everything drain and CHECKs that nothing is left.
#pragma once

#include <deque>
#include <memory>

#include "tests/sim/ledger.h"
#include "tests/sim/membership_checker.h"
#include "tests/sim/network.h"
#include "tests/sim/patience_checker.h"
#include "tests/sim/plan_checker.h"
#include "tests/sim/queue_checker.h"
#include "tests/sim/replay.h"
#include "tests/sim/simulated_job.h"

namespace caudal::sim {

struct SimulationOptions {
  bool print = false;   // the trace
  bool record = false;  // the inputs, for check_replay()
};

class Simulation final : private EngineCore::Outlet {
 public:
  explicit Simulation(std::uint64_t seed, SimulationOptions options = {});
  ~Simulation() override;

  void step();  // one event
  void finish();

  // CHECKs that a second core, told the same inputs at the same times, sends and answers the same (S18).
  void check_replay() const;

  std::uint64_t digest() const { return environment_.trace.digest(); }
  SchedulerStats stats() const { return core_.scheduler().stats(); }
  std::uint64_t num_steps() const { return num_steps_; }
  std::uint64_t num_losses() const { return num_losses_; }
  std::uint64_t num_stale() const { return num_stale_; }
  std::uint64_t num_from_host() const { return num_from_host_; }  // transfers of blocks back to a device
  std::int32_t max_overtakes() const { return queue_.max_overtakes(); }
  std::int32_t max_admissions() const { return ledger_.max_admissions() - static_cast<std::int32_t>(num_losses_); }

 private:
  class Sink;
  struct Client {
    bool slow = false;
    std::vector<RequestId> requests;  // not known to have ended
  };
  struct ReplicaSide {
    ReplicaInfo info;
    PlanChecker plans;
    Peer rank_zero;
    StepId next_answer = 1;
    std::set<std::uint64_t> computed = {};  // prefixes that answers have told of
    Epoch epoch = 0;
    std::map<SlotId, SequenceId> slots = {};  // as the last plan left them
  };

  // The coordinator's process.
  void receive(Input input);
  void wake(const Event& event);
  void turn();
  void take(Request& request);
  void take(CancelInput& cancel);
  void take(PeerInput& input);
  void check_turn();
  std::int32_t num_kept_for_beams(const ReplicaSide& side) const;

  // Clients and faults.
  void act(std::int32_t client);
  Request draw_request();
  void make_trouble();

  // EngineCore::Outlet
  void send(std::vector<Peer> peers, ToWorker message) override;
  void on_joined(const Cluster::Joined& joined) override;
  void on_lost(const Cluster::Lost& lost) override;
  void on_step(ReplicaId replica, const StepSample& sample) override { output_.on_step(replica, sample); }
  void on_stale_result() override;
  void on_first_plan(ReplicaId replica, Time queue_us) override { output_.on_first_plan(replica, queue_us); }

  void dispatch(const Event& event);
  SimulatedJob* job_of(const Event& event);

  Environment environment_;
  Network network_;
  EngineConfig config_;
  ReplicaInfo model_;  // what all replicas have in common
  EngineCore core_;
  std::vector<SimulatedJob> jobs_;
  std::vector<Client> clients_;
  bool forks_ = false;      // some requests ask for more than one sequence
  Time chaos_period_ = 0;   // the longest between two faults
  Time client_period_ = 0;  // and between two requests of a client

  std::vector<Input> inbox_;
  bool wakes_ = false;      // a turn is on its way because of the inbox
  Time stalled_until_ = 0;  // the coordinator's process stands still
  Time last_turn_ = 0;
  const bool record_;
  std::vector<Turn> log_;
  OutputDigest output_;

  Ledger ledger_;
  MembershipChecker membership_;
  QueueChecker queue_;
  PatienceChecker patience_;
  std::map<ReplicaId, ReplicaSide> replicas_;
  std::vector<std::pair<ReplicaId, NewSequence>> admissions_;  // of this turn
  std::deque<StepResult> old_results_;
  RequestId last_request_id_ = 0;
  std::uint64_t num_steps_ = 0;
  std::uint64_t num_losses_ = 0;
  std::uint64_t num_stale_ = 0;
  std::uint64_t num_from_host_ = 0;
};

}  // namespace caudal::sim
