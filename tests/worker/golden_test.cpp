// Every family against Hugging Face transformers, and against itself under other schedules: prompt logits,
// greedy tokens in f32 and bf16, tensor parallelism, chunks, batches, recycled blocks, recompute.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/worker/fixture.h"
#include "tests/worker/toy_scheduler.h"

namespace caudal {
namespace {

RunnerOptions options_for(const Fixture& fixture, DTypeChoice dtype) {
  RunnerOptions options;
  options.dtype = dtype;
  options.max_num_sequences = 32;
  options.max_tokens_per_step = 512;
  options.max_context_tokens = fixture.context;
  options.kv.num_blocks = 512;
  return options;
}

std::vector<ToyRequest> requests_of(const Fixture& fixture) {
  std::vector<ToyRequest> requests;
  for (const FixtureCase& c : fixture.cases)
    requests.push_back(greedy_request(c.prompt, static_cast<std::int32_t>(c.greedy_f32.size())));
  return requests;
}

void expect_answers(const Fixture& fixture, const ToyRun& run, std::vector<TokenId> FixtureCase::*expected) {
  for (std::size_t i = 0; i < fixture.cases.size(); ++i) {
    EXPECT_EQ(run.answers[i].tokens, fixture.cases[i].*expected) << fixture.name << " case " << i;
    EXPECT_EQ(run.answers[i].finish_reason, FinishReason::kLength);
  }
}

class Golden : public testing::TestWithParam<std::string> {
 protected:
  const Fixture fixture_ = load_fixture(GetParam());
};

TEST_P(Golden, PromptLogitsWithin1e4) {
  for (int ranks : {1, 2, 4}) {
    TestReplica replica(fixture_.model_dir, ranks, options_for(fixture_, DTypeChoice::kF32));
    ASSERT_TRUE(replica.valid());
    const auto vocab = static_cast<std::size_t>(replica.info().vocab_size);
    for (const FixtureCase& c : fixture_.cases) {
      const std::vector<float> logits = replica.prompt_logits(c.prompt, 32);
      float worst = 0.0F;
      for (std::size_t i = 0; i < c.logit_positions.size(); ++i)
        for (std::size_t v = 0; v < vocab; ++v)
          worst = std::max(worst, std::abs(logits[static_cast<std::size_t>(c.logit_positions[i]) * vocab + v] -
                                           c.logits[i * vocab + v]));
      EXPECT_LT(worst, 1e-4F) << "prompt of " << c.prompt.size() << ", ranks " << ranks;
    }
  }
}

TEST_P(Golden, GreedyTokensInBF16) {
  TestReplica replica(fixture_.model_dir, 1, options_for(fixture_, DTypeChoice::kBF16));
  ASSERT_TRUE(replica.valid());
  expect_answers(fixture_, generate(replica, requests_of(fixture_)), &FixtureCase::greedy_bf16);
}

TEST_P(Golden, GreedyTokensInF32WithAnyTensorParallelism) {
  for (int ranks : {1, 2, 4}) {
    TestReplica replica(fixture_.model_dir, ranks, options_for(fixture_, DTypeChoice::kF32));
    ASSERT_TRUE(replica.valid());
    expect_answers(fixture_, generate(replica, requests_of(fixture_)), &FixtureCase::greedy_f32);
  }
}

TEST_P(Golden, SameTokensInChunksAloneAndRecomputed) {
  TestReplica replica(fixture_.model_dir, 1, options_for(fixture_, DTypeChoice::kF32));
  ASSERT_TRUE(replica.valid());
  const std::vector<ToyRequest> requests = requests_of(fixture_);
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
