#include "worker/process/step_loop.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "common/log.h"

namespace caudal {
namespace {

// While no plan is there, the loop looks this often whether the step in flight is done.
constexpr std::chrono::microseconds kPollInterval{20};

std::int32_t half(std::uint64_t number, int shift) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(number >> shift));
}
std::uint64_t whole(std::int32_t high, std::int32_t low) {
  return std::uint64_t{static_cast<std::uint32_t>(high)} << 32 | static_cast<std::uint32_t>(low);
}

}  // namespace

int StepLoop::run() {
  for (;;) {
    std::optional<StepPlan> plan = next_plan();
    if (!plan && runner_.num_in_flight() == 0) return 0;
    if (const int code = plan ? take(std::move(*plan)) : answer(); code != 0) return code;
  }
}

int StepLoop::take(StepPlan plan) {
  const PlanName mine{plan.epoch, plan.step_id, runner_.num_in_flight() > 0};
  if (group_.size() == 1) return submit(std::move(plan), mine.in_flight);
  for (;;) {
    const Result<std::vector<PlanName>> names = exchange(mine);
    if (!names) return fail(plan.epoch, kExitStepFailed, names.error().message);
    switch (compare(names.value(), mine)) {
      case Agreement::kAllTheSame:
        return submit(std::move(plan), std::ranges::all_of(names.value(), &PlanName::in_flight));
      case Agreement::kMineIsOld:
        return 0;
      case Agreement::kOthersAreOld:
        break;  // they take their next one
      case Agreement::kOutOfStep:
        return fail(plan.epoch, kExitOutOfStep, "ranks hold plans of different steps");
    }
  }
}

// Waits until the other ranks hold a plan; never for a device. When a rank will never get this plan, the plan's epoch
// ends. The next epoch may begin much later, so the wait has no deadline once this epoch is over.
Result<std::vector<StepLoop::PlanName>> StepLoop::exchange(const PlanName& mine) {
  const std::array<std::int32_t, 5> sent = {half(mine.epoch, 32), half(mine.epoch, 0), half(mine.step, 32),
                                            half(mine.step, 0), mine.in_flight ? 1 : 0};
  const auto epoch_ended = [&] { return mine.epoch != queues_.epoch; };
  const Result<std::span<const std::int32_t>> all = group_.host().gather(sent, epoch_ended);
  if (!all) return all.error();
  std::vector<PlanName> names;
  for (auto rest = all.value(); !rest.empty(); rest = rest.subspan(sent.size()))
    names.push_back({whole(rest[0], rest[1]), whole(rest[2], rest[3]), rest[4] != 0});
  return names;
}

// A link may break after one rank got a plan and before another did, and a new epoch reaches ranks one after the other.
// All ranks see the same names, so their conclusions fit: a plan of an older epoch is dropped.
StepLoop::Agreement StepLoop::compare(std::span<const PlanName> names, const PlanName& mine) {
  const Epoch newest = std::ranges::max(names, {}, &PlanName::epoch).epoch;
  bool others_are_old = false;
  std::optional<StepId> step;
  for (const PlanName& name : names) {
    if (name.epoch != newest) {
      others_are_old = true;
    } else if (step.value_or(name.step) != name.step) {
      return Agreement::kOutOfStep;
    } else {
      step = name.step;
    }
  }
  if (mine.epoch != newest) return Agreement::kMineIsOld;
  return others_are_old ? Agreement::kOthersAreOld : Agreement::kAllTheSame;
}

// No plan when there will be no more, or when the step in flight is done first.
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
    if (std::optional<StepPlan> plan = queues_.plans.pop_for(kPollInterval)) return plan;
  return std::nullopt;
}

// `all_in_flight`: no rank has collected the step before. Only then do all ranks know equally much about it, so that
// may_overlap() gives the same answer on each.
int StepLoop::submit(StepPlan plan, bool all_in_flight) {
  if (plan.epoch != epoch_) {
    runner_.clear();
    epoch_ = plan.epoch;
    last_step_ = 0;
  }
  if (plan.step_id != last_step_ + 1)
    return fail(plan.epoch, kExitOutOfStep, fmt::format("step {} came after step {}", plan.step_id, last_step_));
  const bool overlaps = runner_.num_in_flight() > 0 && all_in_flight && runner_.may_overlap(plan);
  if (runner_.num_in_flight() > 0 && !overlaps)
    if (const int code = answer(); code != 0) return code;
  last_step_ = plan.step_id;
  if (Result<void> submitted = runner_.submit(std::move(plan)); !submitted)
    return fail(epoch_, kExitStepFailed, submitted.error().message);
  num_overlaps_ += overlaps ? 1 : 0;
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
