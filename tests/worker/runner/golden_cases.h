// The comparisons with Hugging Face transformers, for every device: called by the tests of each.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string>
#include <vector>

#include "tests/worker/fixture.h"
#include "tests/worker/toy_scheduler.h"

namespace caudal {

inline RunnerOptions golden_options(const Fixture& fixture, DTypeChoice dtype) {
  RunnerOptions options;
  options.dtype = dtype;
  options.max_num_sequences = 32;
  options.max_tokens_per_step = 512;
  options.max_context_tokens = fixture.context;
  options.kv.num_blocks = 512;
  return options;
}

// The first num_tokens greedy tokens of every case.
inline std::vector<ToyRequest> golden_requests(const Fixture& fixture, std::int32_t num_tokens = 64) {
  std::vector<ToyRequest> requests;
  for (const FixtureCase& c : fixture.cases) requests.push_back(greedy_request(c.prompt, num_tokens));
  return requests;
}

inline void expect_answers(const Fixture& fixture, const ToyRun& run, std::vector<TokenId> FixtureCase::*expected) {
  for (std::size_t i = 0; i < fixture.cases.size(); ++i) {
    const std::vector<TokenId>&got = run.answers[i].tokens, &all = fixture.cases[i].*expected;
    ASSERT_LE(got.size(), all.size());
    EXPECT_EQ(got, std::vector<TokenId>(all.begin(), all.begin() + std::ssize(got))) << fixture.name << " case " << i;
    EXPECT_EQ(run.answers[i].finish_reason, FinishReason::kLength);
  }
}

// f32 logits of all positions of all prompts within `tolerance`.
inline void expect_prompt_logits(const Fixture& fixture, TestReplica& replica, float tolerance) {
  const auto vocab = static_cast<std::size_t>(replica.info().vocab_size);
  for (const FixtureCase& c : fixture.cases) {
    const std::vector<float> logits = replica.prompt_logits(c.prompt, 32);
    float worst = 0.0F;
    for (std::size_t i = 0; i < c.logit_positions.size(); ++i)
      for (std::size_t v = 0; v < vocab; ++v)
        worst = std::max(worst, std::abs(logits[static_cast<std::size_t>(c.logit_positions[i]) * vocab + v] -
                                         c.logits[i * vocab + v]));
    EXPECT_LT(worst, tolerance) << "prompt of " << c.prompt.size();
  }
}

}  // namespace caudal
