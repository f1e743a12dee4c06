// SimulatedJob: one mpirun with the ranks of one replica, over its lives. Keeps the worker's half of the contract
// in common/wire.h: registers, beats, drops plans of another epoch, runs a step when all ranks have the same one,
// ends itself when steps do not match or the coordinator is silent. CHECKs that all ranks get the same plans.
#pragma once

#include <deque>
#include <optional>

#include "tests/sim/network.h"
#include "tests/sim/simulated_worker.h"

namespace caudal::sim {

struct JobTiming {
  Time beat_us = 0;
  Time lease_us = 0;
};

class SimulatedJob {
 public:
  SimulatedJob(Environment& environment, Network& network, std::int32_t index, const JobTiming& timing,
               const ReplicaInfo& model);

  // Events.
  void start();
  void receive(std::int32_t link, ToWorker message);
  void beat(std::int32_t rank, std::uint64_t life);
  void finish_step(std::int32_t step, std::uint64_t life);

  // Faults.
  void die();
  void fail();       // says so first
  void reconnect();  // a link breaks, the process lives
  void pause(Time duration) { paused_until_ = environment_.now + duration; }
  void register_nonsense();

  Time paused_until() const { return paused_until_; }
  bool up() const { return !ranks_.empty(); }
  std::uint64_t num_exits() const { return num_exits_; }  // that it decided on itself
  std::int32_t rank_zero_link() const { return ranks_.front().link; }

 private:
  struct Rank {
    std::int32_t link = 0;
    Epoch epoch = 0;
    StepId steps_done = 0;
    Time heard = 0;
    std::deque<StepPlan> plans;
  };

  void send_registration(std::int32_t rank);
  void start_step();
  void lie(StepResult& result);  // says something that cannot be true
  Time step_time();
  void answer(SimulatedWorker::WaitedFor waited_for);
  void exit();

  Environment& environment_;
  Network& network_;
  const std::int32_t index_;
  const JobTiming timing_;
  ReplicaInfo info_;
  std::uint64_t life_ = 0;
  std::vector<Rank> ranks_;  // empty: down
  Time paused_until_ = 0;
  std::uint64_t num_exits_ = 0;

  std::optional<StepPlan> running_;
  std::optional<SimulatedWorker> worker_;  // of worker_epoch_
  Epoch worker_epoch_ = 0;
  StepId last_step_ = 0;
};

}  // namespace caudal::sim
