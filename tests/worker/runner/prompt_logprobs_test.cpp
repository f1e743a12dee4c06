// Log-probabilities of prompts against those of transformers, on the CPU and on the build's CUDA device, emulated or
// real; and against themselves: alone, in a batch, in chunks, preempted, with two plans in flight, with two ranks.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "tests/sanitized.h"
#include "tests/worker/fixture.h"
#include "tests/worker/toy_scheduler.h"

#ifndef CAUDAL_TEST_DEVICE
#define CAUDAL_TEST_DEVICE "cpu"
#endif

namespace caudal {
namespace {

const std::string kTestedDevice = CAUDAL_TEST_DEVICE;

// Few rows of logits at once, so that prompts are scored in many pieces.
RunnerOptions few_rows() {
  RunnerOptions options;
  options.dtype = DTypeChoice::kF32;
  options.max_num_sequences = 5;
  options.max_tokens_per_step = 160;
  options.max_draft_tokens = 0;
  options.kv.num_blocks = 64;
  return options;
}

ToyRequest scored_request(const FixtureCase& c, std::int32_t num_logprobs, std::int32_t num_tokens = 2) {
  ToyRequest request = greedy_request(c.prompt, num_tokens);
  request.params.num_prompt_logprobs = num_logprobs;
  return request;
}

std::vector<ToyRequest> scored_requests(const Fixture& fixture) {
  std::vector<ToyRequest> requests;
  for (std::size_t i = 0; i < (kTestedDevice == "simt" ? 4 : fixture.cases.size()); ++i)
    requests.push_back(scored_request(fixture.cases[i], static_cast<std::int32_t>(i)));
  requests[1].params.num_prompt_logprobs = -1;  // one that does not ask, among those that do
  return requests;
}

// The numbers and their bits.
std::vector<std::vector<std::vector<std::pair<TokenId, float>>>> scores_of(const ToyRun& run) {
  std::vector<std::vector<std::vector<std::pair<TokenId, float>>>> all;
  for (const ToyAnswer& answer : run.answers) {
    auto& of_prompt = all.emplace_back();
    for (const std::vector<TokenLogprob>& entries : answer.prompt_logprobs) {
      auto& of_token = of_prompt.emplace_back();
      for (const TokenLogprob& entry : entries) of_token.emplace_back(entry.token, entry.logprob);
    }
  }
  return all;
}

std::vector<double> log_softmax(std::span<const float> logits) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  std::vector<double> logprobs;
  for (const float logit : logits) logprobs.push_back(static_cast<double>(logit) - std::log(sum));
  return logprobs;
}

void expect_scores(const FixtureCase& c, const std::vector<std::vector<TokenLogprob>>& told, std::size_t count) {
  ASSERT_EQ(told.size(), c.prompt.size() - 1);
  const std::size_t vocab = c.logits.size() / c.logit_positions.size();
  for (std::size_t i = 0; i < c.logit_positions.size(); ++i) {
    const auto position = static_cast<std::size_t>(c.logit_positions[i]);
    if (position + 1 >= c.prompt.size()) continue;
    std::vector<double> expected = log_softmax(std::span(c.logits).subspan(i * vocab, vocab));
    const std::vector<TokenLogprob>& entries = told[position];
    ASSERT_EQ(entries.size(), 1 + count);
    EXPECT_EQ(entries[0].token, c.prompt[position + 1]);
    for (const TokenLogprob& entry : entries)
      EXPECT_NEAR(static_cast<double>(entry.logprob), expected[static_cast<std::size_t>(entry.token)], 1e-4);
    std::ranges::sort(expected, std::greater());
    for (std::size_t top = 0; top < count; ++top)
      EXPECT_NEAR(static_cast<double>(entries[1 + top].logprob), expected[top], 1e-4);
  }
}

TEST(PromptLogprobs, AreThoseOfTransformers) {
  for (const char* name : {"llama3_2", "qwen3"}) {
    const Fixture fixture = load_fixture(name);
    for (const int ranks : {1, 2}) {
      TestReplica replica(fixture.model_dir, ranks, few_rows(), kTestedDevice);
      ASSERT_TRUE(replica.valid());
      const std::vector<ToyRequest> requests = scored_requests(fixture);
      const ToyRun run = generate(replica, requests);
      for (std::size_t i = 0; i < requests.size(); ++i) {
        SCOPED_TRACE(i);
        if (i == 1) {
          EXPECT_TRUE(run.answers[i].prompt_logprobs.empty());
        } else {
          expect_scores(fixture.cases[i], run.answers[i].prompt_logprobs, i);
        }
      }
    }
  }
}

TEST(PromptLogprobs, HaveTheSameBitsUnderAnySchedule) {
  const Fixture fixture = load_fixture("llama3_2");
  TestReplica replica(fixture.model_dir, 1, few_rows(), kTestedDevice, {}, /*deterministic=*/true);
  ASSERT_TRUE(replica.valid());
  std::vector<ToyRequest> requests = scored_requests(fixture);
  for (ToyRequest& request : requests) request.params.stop.max_tokens = 20;
  const auto together = scores_of(generate(replica, requests));
  EXPECT_EQ(scores_of(generate(replica, requests, {.max_running = 1})), together);
  EXPECT_EQ(scores_of(generate(replica, requests, {.chunk = 7})), together);
  EXPECT_EQ(scores_of(generate(replica, requests, {.chunk = 1, .plans_in_flight = 2})), together);
  const ToyRun squeezed = generate(replica, requests, {.chunk = 16, .num_blocks = kTestedDevice == "simt" ? 6 : 12});
  EXPECT_GT(squeezed.num_preemptions, 0);
  EXPECT_EQ(scores_of(squeezed), together);
}

// Of the whole vocabulary, and of tokens that the request names.
TEST(PromptLogprobs, ReachThroughTheVocabulary) {
  const Fixture fixture = load_fixture("llama3_2");
  const FixtureCase& c = fixture.cases[1];
  TestReplica replica(fixture.model_dir, 1, few_rows(), kTestedDevice);
  ASSERT_TRUE(replica.valid());
  const std::int32_t vocab = replica.info().vocab_size;
  ToyRequest request = scored_request(c, vocab);
  request.params.sampling.num_logprobs = vocab;
  request.params.sampling.logprob_token_ids = {3, vocab - 1};
  const ToyRun run = generate(replica, {request});
  expect_scores(c, run.answers[0].prompt_logprobs, static_cast<std::size_t>(vocab));
  ASSERT_EQ(run.answers[0].logprobs.size(), 2U);
  for (const std::vector<TokenLogprob>& entries : run.answers[0].logprobs) {
    ASSERT_EQ(entries.size(), 1U + static_cast<std::size_t>(vocab) + 2U);
    double sum = 0;
    for (const TokenLogprob& entry : std::span(entries).subspan(1, vocab)) {
      sum += std::exp(static_cast<double>(entry.logprob));
      if (entry.token != 3) continue;
      EXPECT_EQ(entries[entries.size() - 2].logprob, entry.logprob);
    }
    EXPECT_NEAR(sum, 1.0, 1e-4);
    EXPECT_EQ(entries.back().token, vocab - 1);
  }
}

// A step goes on where another began: behind a cached prefix nothing is told of it.
TEST(PromptLogprobs, OfWhatAStepComputes) {
  const Fixture fixture = load_fixture("llama3_2");
  const FixtureCase& c = fixture.cases[2];
  ASSERT_EQ(c.prompt.size(), 17U);
  TestReplica replica(fixture.model_dir, 1, few_rows(), kTestedDevice);
  ASSERT_TRUE(replica.valid());
  StepPlan plan;
  plan.step_id = 1;
  NewSequence& sequence = plan.new_sequences.emplace_back();
  sequence.tokens = c.prompt;
  sequence.num_prompt_tokens = 17;
  sequence.blocks = {0, 1};
  sequence.params.sampling.temperature = 0.0F;
  sequence.params.num_prompt_logprobs = 0;
  const auto told_by = [&](std::int32_t num_tokens) {
    plan.scheduled = {{0, num_tokens, {}}};
    const StepResult result = replica.run(plan);
    plan.new_sequences.clear();
    ++plan.step_id;
    return result.sequences.at(0).prompt_logprobs;
  };
  const auto first = told_by(5);
  ASSERT_EQ(first.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(first[i].at(0).token, c.prompt[1 + i]);
  const auto second = told_by(12);  // the last token is followed by none of the prompt
  ASSERT_EQ(second.size(), 11U);
  for (std::size_t i = 0; i < 11; ++i) EXPECT_EQ(second[i].at(0).token, c.prompt[6 + i]);
  EXPECT_TRUE(told_by(1).empty());
}

}  // namespace
}  // namespace caudal
