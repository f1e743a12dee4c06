// StepBudget: learns a replica's times and keeps steps under a target.
#include "coordinator/policy/step_budget.h"

#include <gtest/gtest.h>

namespace caudal {
namespace {

// A machine whose steps take what they take; `noise` is added in turns.
struct Machine {
  std::int64_t decode_us = 20'000;
  std::int64_t prompt_token_ns = 700'000;

  std::int64_t step_us(const StepLoad& load) const {
    return decode_us + load.num_prompt_tokens * prompt_token_ns / 1000;
  }
};

TEST(StepBudget, ProbesBeforeItKnowsAnything) {
  const StepBudget budget;
  EXPECT_EQ(budget.prompt_tokens(8, 30'000), 64);
  EXPECT_EQ(budget.decode_us(8), 0);
  EXPECT_EQ(budget.prompt_token_ns(), 0);
}

TEST(StepBudget, FillsTheStepUpToTheTarget) {
  const Machine machine;
  StepBudget budget;
  for (int i = 0; i < 20; ++i) budget.observe({8, 0}, machine.step_us({8, 0}));
  for (int i = 0; i < 40; ++i) {
    const StepLoad load{8, budget.prompt_tokens(8, 50'000)};
    budget.observe(load, machine.step_us(load));
  }
  const StepLoad load{8, budget.prompt_tokens(8, 50'000)};
  EXPECT_LE(machine.step_us(load), 50'000);
  EXPECT_GE(machine.step_us(load), 44'000) << "what is left is used";
}

TEST(StepBudget, FollowsAMachineThatBecomesSlower) {
  Machine machine;
  StepBudget budget;
  const auto run = [&](int num_steps) {
    for (int i = 0; i < num_steps; ++i) {
      const StepLoad load{8, budget.prompt_tokens(8, 50'000)};
      budget.observe(load, machine.step_us(load));
    }
    return machine.step_us({8, budget.prompt_tokens(8, 50'000)});
  };
  budget.observe({8, 0}, machine.step_us({8, 0}));
  run(40);
  machine.prompt_token_ns = 1'000'000;
  EXPECT_LE(run(40), 50'000);
  machine.decode_us = 30'000;  // no step without a prompt says so: the prompt's tokens get dearer instead
  EXPECT_LE(run(40), 50'500);
  machine = {};
  EXPECT_GE(run(40), 42'000) << "and back";
}

TEST(StepBudget, APromptAlwaysGoesForward) {
  StepBudget budget;
  budget.observe({64, 0}, 90'000);
  budget.observe({64, 256}, 400'000);
  EXPECT_EQ(budget.prompt_tokens(64, 50'000), 16) << "the decodes alone miss the target";
}

TEST(StepBudget, OneSlowStepDoesNotRule) {
  const Machine machine;
  StepBudget budget;
  for (int i = 0; i < 20; ++i) budget.observe({8, 0}, machine.step_us({8, 0}));
  for (int i = 0; i < 20; ++i) budget.observe({8, 32}, machine.step_us({8, 32}));
  const std::int32_t before = budget.prompt_tokens(8, 60'000);
  budget.observe({8, 32}, 10'000'000);
  EXPECT_GE(budget.prompt_tokens(8, 60'000), before / 2);
  budget.observe({8, 0}, 10'000'000);
  EXPECT_LE(budget.decode_us(8), 30'000);
}

TEST(StepBudget, KnowsStepsOfOtherSizesByTheirNeighbours) {
  StepBudget budget;
  budget.observe({4, 0}, 10'000);
  budget.observe({64, 0}, 30'000);
  EXPECT_EQ(budget.decode_us(5), 10'000);
  EXPECT_EQ(budget.decode_us(40), 10'000) << "the next smaller one";
  EXPECT_EQ(budget.decode_us(127), 30'000);
  EXPECT_EQ(budget.decode_us(1), 10'000) << "nothing smaller is known";
  EXPECT_EQ(budget.decode_us(1 << 30), 30'000);
}

TEST(StepBudget, NonsenseFromAWorkerDoesNoHarm) {
  StepBudget budget;
  budget.observe({8, 16}, -5);
  budget.observe({8, 16}, 0);
  EXPECT_EQ(budget.prompt_token_ns(), 0);
  for (int i = 0; i < 100; ++i) budget.observe({8, 1 << 20}, INT64_MAX);
  for (int i = 0; i < 100; ++i) budget.observe({8, 0}, INT64_MAX);
  EXPECT_GE(budget.prompt_tokens(8, 1), 16);
  EXPECT_EQ(budget.prompt_tokens(8, INT64_MAX / 2000), 1 << 20);
}

}  // namespace
}  // namespace caudal
