// What a worker says is within bounds, or it is not listened to: one wrong number at a time.
#include "coordinator/cluster/worker_check.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

namespace caudal {
namespace {

Register registration() {
  return {.replica_key = "a",
          .rank = 1,
          .info = {.num_blocks = 100,
                   .max_num_sequences = 4,
                   .max_tokens_per_step = 64,
                   .max_context_tokens = 256,
                   .vocab_size = 50,
                   .topology = {.tensor = 2},
                   .model_digest = "m",
                   .max_draft_tokens = 2},
          .build_version = "test"};
}

StepResult result() {
  StepResult said{.epoch = 1, .step_id = 1, .sequences = {}, .compute_us = 500, .draft_us = 20, .draft_pass_us = 10};
  SequenceResult& line = said.sequences.emplace_back();
  line.slot = 3;
  line.sequence_id = 7;
  line.num_computed = 256;
  line.tokens = {0, 49, 1};
  line.logprobs = {{{0, -0.5F}}, {{49, -0.5F}}, {{1, -std::numeric_limits<float>::infinity()}}};
  line.num_drafted = 2;
  line.num_accepted = 2;
  line.candidates.assign(kMaxCandidates, {.token = 49, .logprob = -1.0F});
  line.prompt_logprobs.assign(2, std::vector<TokenLogprob>(51, {.token = 49, .logprob = -1.0F}));
  return said;
}

TEST(WorkerCheck, TakesWhatIsAtTheBounds) {
  EXPECT_TRUE(check(registration()).ok());
  EXPECT_TRUE(check(result(), registration().info).ok());
}

TEST(WorkerCheck, NamesTheFieldOfARegistrationThatIsOutOfThem) {
  const std::pair<const char*, std::function<void(Register&)>> kCases[] = {
      {"num_blocks", [](Register& r) { r.info.num_blocks = 0; }},
      {"num_blocks", [](Register& r) { r.info.num_blocks = std::numeric_limits<std::int32_t>::max(); }},
      {"max_num_sequences", [](Register& r) { r.info.max_num_sequences = 1 << 17; }},
      {"max_num_sequences", [](Register& r) { r.info.max_num_sequences = -1; }},
      {"max_tokens_per_step", [](Register& r) { r.info.max_tokens_per_step = 0; }},
      {"max_context_tokens", [](Register& r) { r.info.max_context_tokens = 1 << 25; }},
      {"vocab_size", [](Register& r) { r.info.vocab_size = -5; }},
      {"topology.tensor", [](Register& r) { r.info.topology.tensor = 1 << 20; }},
      {"topology.tensor", [](Register& r) { r.info.topology.tensor = 0; }},
      {"kv_windows", [](Register& r) { r.info.kv_windows = {}; }},
      {"kv_windows",
       [](Register& r) {
         r.info.kv_windows = {0, -1};
       }},
      {"kv_windows", [](Register& r) { r.info.kv_windows.assign(kMaxKvGroups + 1, 0); }},
      {"model_digest", [](Register& r) { r.info.model_digest.assign(5000, 'm'); }},
      {"max_draft_tokens", [](Register& r) { r.info.max_draft_tokens = kMaxDraftTokens + 1; }},
      {"num_host_blocks", [](Register& r) { r.info.num_host_blocks = -1; }},
      {"swap_block_ns", [](Register& r) { r.info.swap_block_ns = std::numeric_limits<std::int64_t>::max(); }},
      {"replica_key", [](Register& r) { r.replica_key.assign(5000, 'a'); }},
      {"rank", [](Register& r) { r.rank = 2; }},
  };
  for (const auto& [field, spoil] : kCases) {
    Register message = registration();
    spoil(message);
    const Result<void> checked = check(message);
    ASSERT_FALSE(checked.ok()) << field;
    EXPECT_EQ(checked.error().field, field);
  }
}

TEST(WorkerCheck, NamesTheFieldOfAResultThatIsOutOfThem) {
  const std::pair<const char*, std::function<void(StepResult&)>> kCases[] = {
      {"sequences", [](StepResult& r) { r.sequences.resize(5); }},
      {"slot", [](StepResult& r) { r.sequences[0].slot = 4; }},
      {"slot", [](StepResult& r) { r.sequences[0].slot = -1; }},
      {"num_computed", [](StepResult& r) { r.sequences[0].num_computed = 257; }},
      {"num_computed", [](StepResult& r) { r.sequences[0].num_computed = -1; }},
      {"tokens", [](StepResult& r) { r.sequences[0].tokens = {50}; }},
      {"tokens", [](StepResult& r) { r.sequences[0].tokens = {-1}; }},
      {"tokens", [](StepResult& r) { r.sequences[0].tokens.assign(4, 1); }},
      {"logprobs", [](StepResult& r) { r.sequences[0].logprobs.resize(4); }},
      {"logprobs", [](StepResult& r) { r.sequences[0].logprobs[0][0].token = 50; }},
      {"logprobs", [](StepResult& r) { r.sequences[0].logprobs[1][0].logprob = std::nanf(""); }},
      {"logprobs", [](StepResult& r) { r.sequences[0].logprobs[1].assign(1000, {.token = 1, .logprob = 0.0F}); }},
      {"num_drafted", [](StepResult& r) { r.sequences[0].num_drafted = 3; }},
      {"num_accepted", [](StepResult& r) { r.sequences[0].num_accepted = 3; }},
      {"num_accepted", [](StepResult& r) { r.sequences[0].num_accepted = -1; }},
      {"candidates", [](StepResult& r) { r.sequences[0].candidates[5].token = -1; }},
      {"candidates", [](StepResult& r) { r.sequences[0].candidates.resize(1000); }},
      {"prompt_logprobs", [](StepResult& r) { r.sequences[0].prompt_logprobs[0].clear(); }},
      {"prompt_logprobs", [](StepResult& r) { r.sequences[0].prompt_logprobs[1][3].token = 50; }},
      {"prompt_logprobs", [](StepResult& r) { r.sequences[0].prompt_logprobs[1].resize(1000); }},
      {"prompt_logprobs",
       [](StepResult& r) {
         r.sequences[0].prompt_logprobs.resize(1 << 20, {{1, -1.0F}});
       }},
      {"compute_us", [](StepResult& r) { r.compute_us = -1; }},
      {"compute_us", [](StepResult& r) { r.draft_us = std::int64_t{1} << 60; }},
      {"compute_us", [](StepResult& r) { r.draft_pass_us = -1; }},
  };
  for (const auto& [field, spoil] : kCases) {
    StepResult said = result();
    spoil(said);
    const Result<void> checked = check(said, registration().info);
    ASSERT_FALSE(checked.ok()) << field;
    EXPECT_EQ(checked.error().field, field);
  }
}

}  // namespace
}  // namespace caudal
