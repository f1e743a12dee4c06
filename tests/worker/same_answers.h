// Two runs that must have told the same, to the last bit of a probability.
#pragma once

#include <gtest/gtest.h>

#include "tests/worker/toy_scheduler.h"

namespace caudal {

// Both have tokens, a finish_reason and logprobs.
template <typename Answer>
void expect_same_answer(const Answer& some, const Answer& other, std::size_t index) {
  EXPECT_EQ(some.tokens, other.tokens) << index;
  EXPECT_EQ(some.finish_reason, other.finish_reason) << index;
  ASSERT_EQ(some.logprobs.size(), other.logprobs.size()) << index;
  for (std::size_t t = 0; t < some.logprobs.size(); ++t)
    for (std::size_t n = 0; n < some.logprobs[t].size(); ++n)
      EXPECT_EQ(some.logprobs[t][n].logprob, other.logprobs[t][n].logprob) << index << ' ' << t;
}

inline void expect_same(const ToyRun& run, const ToyRun& plain) {
  ASSERT_EQ(run.answers.size(), plain.answers.size());
  for (std::size_t i = 0; i < run.answers.size(); ++i) expect_same_answer(run.answers[i], plain.answers[i], i);
}

}  // namespace caudal
