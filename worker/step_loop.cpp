#include "worker/step_loop.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "common/log.h"

namespace caudal {
namespace {

// How late the end of a step may be noticed while no plan is there.
constexpr std::chrono::microseconds kGlance{20};

// What ranks compare: a plan's epoch and step, as numbers a communicator carries.
using PlanName = std::array<std::int32_t, 4>;

std::int32_t half(std::uint64_t number, int shift) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(number >> shift));
}
PlanName name_of(const StepPlan& plan) {
  return {half(plan.epoch, 32), half(plan.epoch, 0), half(plan.step_id, 32), half(plan.step_id, 0)};
}
std::uint64_t whole(const std::int32_t* halves) {
  return std::uint64_t{static_cast<std::uint32_t>(halves[0])} << 32 | static_cast<std::uint32_t>(halves[1]);
}

}  // namespace

Result<std::unique_ptr<StepLoop>> StepLoop::create(Backend& backend, Communicator& group, Runner& runner,
                                                   StepQueues& queues) {
  Result<std::unique_ptr<HostExchange>> exchange =
      HostExchange::create(backend, group, static_cast<std::int64_t>(PlanName().size()));
  if (!exchange) return exchange.error();
  return std::unique_ptr<StepLoop>(new StepLoop(group, runner, queues, std::move(exchange).value()));
}

int StepLoop::run() {
  for (;;) {
    const std::optional<StepPlan> plan = next_plan();
    if (!plan && runner_.num_in_flight() == 0) return 0;
    if (const int code = plan ? take(*plan) : answer(); code != 0) return code;
  }
}

int StepLoop::take(const StepPlan& plan) {
  Agreement agreement = Agreement::kAllTheSame;
  do {
    if (group_.size() > 1) agreement = compare(plan);
  } while (agreement == Agreement::kOthersAreOld);  // they take their next one
  if (agreement == Agreement::kOutOfStep) return fail(plan.epoch, kExitOutOfStep, "ranks hold plans of different steps");
  return agreement == Agreement::kAllTheSame ? submit(plan) : 0;
}

// Links may break between two ranks' receipt of a plan, and a new epoch reaches them one after the other. All
// ranks see the same names and come to fitting conclusions: an older epoch gives way to a newer.
StepLoop::Agreement StepLoop::compare(const StepPlan& mine) {
  const PlanName name = name_of(mine);
  const std::span<const std::int32_t> names = exchange_->gather(name);
  Epoch newest = 0;
  for (std::size_t i = 0; i < names.size(); i += name.size()) newest = std::max(newest, whole(&names[i]));
  bool others_are_old = false;
  std::optional<StepId> step;
  for (std::size_t i = 0; i < names.size(); i += name.size()) {
    const StepId this_step = whole(&names[i + 2]);
    if (whole(&names[i]) != newest) {
      others_are_old = true;
    } else if (step.value_or(this_step) != this_step) {
      return Agreement::kOutOfStep;
    } else {
      step = this_step;
    }
  }
  if (mine.epoch != newest) return Agreement::kMineIsOld;
  return others_are_old ? Agreement::kOthersAreOld : Agreement::kAllTheSame;
}

// Nothing when there will be no more, or when the step in flight is done first.
std::optional<StepPlan> StepLoop::next_plan() {
  queues_.running = runner_.num_in_flight() > 0;
  std::optional<StepPlan> plan = wait_for_plan();
  while (plan && plan->epoch != queues_.epoch) plan = wait_for_plan();
  if (plan) queues_.running = true;
  return plan;
}

std::optional<StepPlan> StepLoop::wait_for_plan() {
  if (runner_.num_in_flight() == 0) return queues_.plans.pop();
  while (!runner_.done())
    if (std::optional<StepPlan> plan = queues_.plans.pop_for(kGlance)) return plan;
  return std::nullopt;
}

int StepLoop::submit(const StepPlan& plan) {
  if (plan.epoch != epoch_) {
    runner_.clear();
    epoch_ = plan.epoch;
    last_step_ = 0;
  }
  if (plan.step_id != last_step_ + 1)
    return fail(plan.epoch, kExitOutOfStep, fmt::format("step {} came after step {}", plan.step_id, last_step_));
  // Ranks must know the same when they submit, and have just waited for each other to compare plans.
  const bool may_overlap = runner_.num_in_flight() > 0 && group_.size() == 1 && runner_.may_overlap(plan);
  if (runner_.num_in_flight() > 0 && !may_overlap)
    if (const int code = answer(); code != 0) return code;
  if (Result<void> submitted = runner_.submit(plan); !submitted)
    return fail(plan.epoch, kExitStepFailed, submitted.error().message);
  last_step_ = plan.step_id;
  return runner_.num_in_flight() > 1 ? answer() : 0;
}

// The result of the oldest step in flight.
int StepLoop::answer() {
  Result<StepResult> result = runner_.collect();
  if (!result) return fail(epoch_, kExitStepFailed, result.error().message);
  queues_.steps_done = result.value().step_id;
  if (group_.rank() != 0) return 0;
  queues_.answers.push(std::move(result).value());
  queues_.answered.signal();
  return 0;
}

int StepLoop::fail(Epoch epoch, int exit_code, const std::string& reason) {
  LOG_ERROR("{}", reason);
  queues_.answers.push(Failed{epoch, reason});
  queues_.answered.signal();
  return exit_code;
}

}  // namespace caudal
