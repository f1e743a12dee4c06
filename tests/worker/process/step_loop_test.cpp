// Ranks that hold different plans come to an agreement or end. Ranks are threads here.
#include "worker/process/step_loop.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/worker/test_rank.h"
#include "worker/comm/local.h"

namespace caudal {
namespace {

using namespace std::chrono_literals;

using Plans = std::vector<std::pair<Epoch, StepId>>;

// Runs two ranks over what each of them received; the steps that rank 0 answered.
std::vector<FromWorker> run_ranks(const std::vector<Plans>& received, std::vector<int>& exit_codes) {
  std::vector<std::unique_ptr<TestRank>> ranks;
  for (auto& group : make_local_group(static_cast<int>(received.size())))
    ranks.push_back(std::make_unique<TestRank>(std::move(group)));
  {
    std::vector<std::jthread> threads;
    for (std::size_t r = 0; r < ranks.size(); ++r) {
      threads.emplace_back([&, r] {
        TestRank& rank = *ranks[r];
        rank.load();
        for (const auto& [epoch, step] : received[r]) rank.queues.plans.push(plan_of(epoch, step));
        rank.queues.epoch = received[r].front().first;
        for (const auto& [epoch, step] : received[r]) rank.queues.epoch = std::max<Epoch>(rank.queues.epoch, epoch);
        rank.queues.plans.close();
        rank.exit_code = rank.loop->run();
      });
    }
  }
  for (const auto& rank : ranks) exit_codes.push_back(rank->exit_code);
  return ranks.front()->queues.answers.drain_for(0ms);
}

TEST(StepLoop, RunsPlansInOrderAndAnswersOnRankZero) {
  std::vector<int> codes;
  const std::vector<FromWorker> answers = run_ranks({{{1, 1}, {1, 2}, {1, 3}}, {{1, 1}, {1, 2}, {1, 3}}}, codes);
  EXPECT_EQ(codes, (std::vector<int>{0, 0}));
  ASSERT_EQ(answers.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    const StepResult& result = std::get<StepResult>(answers[i]);
    EXPECT_EQ(result.step_id, i + 1);
    EXPECT_EQ(result.sequences.at(0).tokens.size(), 1U);
  }
}

TEST(StepLoop, ANewEpochStartsWithAnEmptyTable) {
  std::vector<int> codes;
  // Old plans are dropped although only the queue of rank 1 still holds them.
  const std::vector<FromWorker> answers = run_ranks({{{2, 1}, {2, 2}}, {{1, 7}, {2, 1}, {2, 2}}}, codes);
  EXPECT_EQ(codes, (std::vector<int>{0, 0}));
  EXPECT_EQ(answers.size(), 2U);
}

TEST(StepLoop, AGapEndsTheReplica) {
  std::vector<int> codes;
  const std::vector<FromWorker> answers = run_ranks({{{1, 1}, {1, 3}}, {{1, 1}, {1, 3}}}, codes);
  EXPECT_EQ(codes, (std::vector<int>{kExitOutOfStep, kExitOutOfStep}));
  EXPECT_TRUE(std::holds_alternative<Failed>(answers.back()));
}

TEST(StepLoop, DifferentStepsEndTheReplica) {
  std::vector<int> codes;
  run_ranks({{{1, 1}, {1, 2}}, {{1, 1}, {1, 3}}}, codes);
  EXPECT_EQ(codes, (std::vector<int>{kExitOutOfStep, kExitOutOfStep}));
}

TEST(StepLoop, ABrokenPlanEndsTheReplica) {
  TestRank rank(std::move(make_local_group(1).front()));
  rank.load();
  rank.queues.epoch = 1;
  StepPlan plan = plan_of(1, 1);
  plan.scheduled[0].slot = 3;
  rank.queues.plans.push(std::move(plan));
  EXPECT_EQ(rank.loop->run(), kExitStepFailed);
  EXPECT_TRUE(std::holds_alternative<Failed>(rank.queues.answers.pop().value()));
}

}  // namespace
}  // namespace caudal
