// Every family against Hugging Face transformers, and against itself under other schedules: prompt logits,
// greedy tokens in f32 and bf16, tensor parallelism, chunks, batches, recycled blocks, recompute.
#include <gtest/gtest.h>

#include "tests/worker/runner/golden_cases.h"

namespace caudal {
namespace {

class Golden : public testing::TestWithParam<std::string> {
 protected:
  const Fixture fixture_ = load_fixture(GetParam());
};

TEST_P(Golden, PromptLogitsWithin1e4) {
  for (int ranks : {1, 2, 4}) {
    TestReplica replica(fixture_.model_dir, ranks, golden_options(fixture_, DTypeChoice::kF32));
    ASSERT_TRUE(replica.valid());
    expect_prompt_logits(fixture_, replica, 1e-4F);
  }
}

TEST_P(Golden, GreedyTokensInBF16) {
  TestReplica replica(fixture_.model_dir, 1, golden_options(fixture_, DTypeChoice::kBF16));
  ASSERT_TRUE(replica.valid());
  expect_answers(fixture_, generate(replica, golden_requests(fixture_)), &FixtureCase::greedy_bf16);
}

TEST_P(Golden, GreedyTokensInF32WithAnyTensorParallelism) {
  for (int ranks : {1, 2, 4}) {
    TestReplica replica(fixture_.model_dir, ranks, golden_options(fixture_, DTypeChoice::kF32));
    ASSERT_TRUE(replica.valid());
    expect_answers(fixture_, generate(replica, golden_requests(fixture_)), &FixtureCase::greedy_f32);
  }
}

TEST_P(Golden, SameTokensInChunksAloneAndRecomputed) {
  TestReplica replica(fixture_.model_dir, 1, golden_options(fixture_, DTypeChoice::kF32));
  ASSERT_TRUE(replica.valid());
  const std::vector<ToyRequest> requests = golden_requests(fixture_);
  expect_answers(fixture_, generate(replica, requests, {.chunk = 13}), &FixtureCase::greedy_f32);
  expect_answers(fixture_, generate(replica, requests, {.max_running = 1}), &FixtureCase::greedy_f32);
  const ToyRun squeezed = generate(replica, requests, {.chunk = 24, .num_blocks = 18});
  EXPECT_GT(squeezed.num_preemptions, 0);
  expect_answers(fixture_, squeezed, &FixtureCase::greedy_f32);
}

INSTANTIATE_TEST_SUITE_P(Families, Golden, testing::ValuesIn(fixture_names()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace caudal
