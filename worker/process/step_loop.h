// StepLoop: what the step thread does. It takes a plan, makes sure that all ranks hold the same one, submits it,
// possibly while the device still computes the one before, and hands the result to the link thread. The two threads
// share StepQueues and nothing else.
#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <vector>

#include "common/queue.h"
#include "common/socket.h"
#include "common/wire.h"
#include "kernels/comm/communicator.h"
#include "worker/runner/runner.h"

namespace caudal {

struct StepQueues {
  Queue<StepPlan> plans{64};      // link -> step; the coordinator has two in flight
  Queue<FromWorker> answers{64};  // step -> link: results, and why the step thread ended
  WakeEvent answered;             // wakes the link thread for answers
  std::atomic<Epoch> epoch{0};    // of the last Welcome; plans of another are dropped
  std::atomic<StepId> steps_done{0};
  std::atomic<bool> running{false};
};

class StepLoop {
 public:
  StepLoop(Communicator& group, Runner& runner, StepQueues& queues) : group_(group), runner_(runner), queues_(queues) {}

  // Runs until the queue of plans is closed, then returns 0; or until nothing more can be computed, then returns an
  // exit code of common/wire.h, and a Failed is among the answers.
  int run();

  // Steps that were submitted before the one ahead was collected; the same on all ranks.
  std::uint64_t num_overlaps() const { return num_overlaps_; }

 private:
  // What ranks send each other before a step.
  struct PlanName {
    Epoch epoch = 0;
    StepId step = 0;
    bool in_flight = false;  // this rank has not collected the step before
  };
  enum class Agreement { kAllTheSame, kMineIsOld, kOthersAreOld, kOutOfStep };
  static Agreement compare(std::span<const PlanName> names, const PlanName& mine);
  Result<std::vector<PlanName>> exchange(const PlanName& mine);
  std::optional<StepPlan> next_plan();
  std::optional<StepPlan> wait_for_plan();
  int take(StepPlan plan);
  int submit(StepPlan plan, bool all_in_flight);
  int answer();
  int fail(Epoch epoch, int exit_code, const std::string& reason);

  Communicator& group_;
  Runner& runner_;
  StepQueues& queues_;
  Epoch epoch_ = 0;       // of the runner's table
  StepId last_step_ = 0;  // in that epoch
  std::uint64_t num_overlaps_ = 0;
};

}  // namespace caudal
