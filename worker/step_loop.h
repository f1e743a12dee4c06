// StepLoop: the life of the step thread. Takes plans, makes sure that all ranks hold the same one, submits it while the
// device may still be at the one before, hands back what came out. StepQueues is all that it shares with the link thread.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "common/queue.h"
#include "common/socket.h"
#include "common/wire.h"
#include "worker/comm/host_exchange.h"
#include "worker/runner.h"

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
  static Result<std::unique_ptr<StepLoop>> create(Backend& backend, Communicator& group, Runner& runner,
                                                  StepQueues& queues);

  // Until the plans are closed (0) or nothing more can be computed (an exit code of common/wire.h; a Failed
  // is among the answers then).
  int run();

 private:
  StepLoop(Communicator& group, Runner& runner, StepQueues& queues, std::unique_ptr<HostExchange> exchange)
      : group_(group), runner_(runner), queues_(queues), exchange_(std::move(exchange)) {}

  enum class Agreement { kAllTheSame, kMineIsOld, kOthersAreOld, kOutOfStep };
  Agreement compare(const StepPlan& mine);
  std::optional<StepPlan> next_plan();
  std::optional<StepPlan> wait_for_plan();
  int take(const StepPlan& plan);
  int submit(const StepPlan& plan);
  int answer();
  int fail(Epoch epoch, int exit_code, const std::string& reason);

  Communicator& group_;
  Runner& runner_;
  StepQueues& queues_;
  std::unique_ptr<HostExchange> exchange_;
  Epoch epoch_ = 0;       // of the runner's table
  StepId last_step_ = 0;  // in that epoch
};

}  // namespace caudal
