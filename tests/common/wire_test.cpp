// Every message survives the trip unchanged; nothing malformed is accepted or crashes.
#include "common/wire.h"

#include <gtest/gtest.h>

#include <random>

namespace caudal {
namespace {

StepPlan sample_plan() {
  return {.epoch = 7,
          .step_id = 9,
          .released = {3, 1},
          .new_sequences = {{.slot = 2,
                             .sequence_id = 99,
                             .tokens = {5, 6, 7},
                             .num_prompt_tokens = 2,
                             .num_computed = 1,
                             .blocks = {4},
                             .sampling = {.temperature = 0.5F,
                                          .top_p = 0.9F,
                                          .top_k = 40,
                                          .min_p = 0.1F,
                                          .repetition_penalty = 1.1F,
                                          .presence_penalty = -0.5F,
                                          .frequency_penalty = 0.25F,
                                          .seed = 0xffffffffffffffffULL,
                                          .num_logprobs = 5,
                                          .logit_bias = {{1, -2.5F}, {8, 3.0F}},
                                          .bad_words = {{7}, {8, 9}}},
                             .stop = {.max_tokens = 10, .min_tokens = 2, .stop_token_ids = {0, 2}},
                             .speculative = SpeculativeMode::kDraft,
                             .is_beam = true}},
          .swapped_out = {{6, 1}},
          .swapped_in = {{2, 7}, {3, 8}},
          .block_copies = {{4, 5}},
          .scheduled = {{.slot = 2, .num_tokens = 2, .new_blocks = {5}, .num_draft_tokens = 3},
                        {.slot = 0, .num_tokens = 1, .new_blocks = {}, .next_token = 0}}};
}

template <typename T>
T through_wire(const T& message) {
  Result<ToWorker> decoded = decode_to_worker(encode(ToWorker(message)));
  EXPECT_TRUE(decoded.ok());
  return std::get<T>(decoded.value());
}

TEST(Wire, PlanRoundTrip) {
  const StepPlan plan = sample_plan();
  const StepPlan back = through_wire(plan);
  EXPECT_EQ(back.epoch, 7U);
  EXPECT_EQ(back.step_id, 9U);
  EXPECT_EQ(back.released, plan.released);
  ASSERT_EQ(back.new_sequences.size(), 1U);
  const NewSequence& sequence = back.new_sequences[0];
  const NewSequence& sent = plan.new_sequences[0];
  EXPECT_EQ(sequence.slot, 2);
  EXPECT_EQ(sequence.sequence_id, 99U);
  EXPECT_EQ(sequence.tokens, sent.tokens);
  EXPECT_EQ(sequence.num_prompt_tokens, 2);
  EXPECT_EQ(sequence.num_computed, 1);
  EXPECT_EQ(sequence.blocks, sent.blocks);
  EXPECT_EQ(sequence.sampling.temperature, 0.5F);
  EXPECT_EQ(sequence.sampling.top_p, 0.9F);
  EXPECT_EQ(sequence.sampling.top_k, 40);
  EXPECT_EQ(sequence.sampling.min_p, 0.1F);
  EXPECT_EQ(sequence.sampling.repetition_penalty, 1.1F);
  EXPECT_EQ(sequence.sampling.presence_penalty, -0.5F);
  EXPECT_EQ(sequence.sampling.frequency_penalty, 0.25F);
  EXPECT_EQ(sequence.sampling.seed, 0xffffffffffffffffULL);
  EXPECT_EQ(sequence.sampling.num_logprobs, 5);
  EXPECT_EQ(sequence.sampling.logit_bias, sent.sampling.logit_bias);
  EXPECT_EQ(sequence.sampling.bad_words, sent.sampling.bad_words);
  EXPECT_EQ(sequence.stop.max_tokens, 10);
  EXPECT_EQ(sequence.stop.min_tokens, 2);
  EXPECT_EQ(sequence.stop.stop_token_ids, sent.stop.stop_token_ids);
  EXPECT_EQ(sequence.speculative, SpeculativeMode::kDraft);
  ASSERT_EQ(back.block_copies.size(), 1U);
  EXPECT_EQ(back.block_copies[0].destination, 5);
  ASSERT_EQ(back.swapped_out.size(), 1U);
  EXPECT_EQ(back.swapped_out[0].source, 6);
  EXPECT_EQ(back.swapped_out[0].destination, 1);
  ASSERT_EQ(back.swapped_in.size(), 2U);
  EXPECT_EQ(back.swapped_in[1].source, 3);
  EXPECT_EQ(back.swapped_in[1].destination, 8);
  ASSERT_EQ(back.scheduled.size(), 2U);
  EXPECT_EQ(back.scheduled[0].num_tokens, 2);
  EXPECT_EQ(back.scheduled[0].new_blocks, (std::vector<BlockId>{5}));
  EXPECT_EQ(back.scheduled[0].num_draft_tokens, 3);
  EXPECT_TRUE(sequence.is_beam);
  EXPECT_FALSE(back.scheduled[0].next_token.has_value());
  EXPECT_EQ(back.scheduled.at(1).next_token, 0);
}

TEST(Wire, ResultRoundTrip) {
  const StepResult result{.epoch = 3,
                          .step_id = 4,
                          .sequences = {{.slot = 1,
                                         .sequence_id = 77,
                                         .num_computed = 12,
                                         .tokens = {5, 6},
                                         .finish_reason = FinishReason::kStop,
                                         .logprobs = {{{5, -0.5F}, {9, -1.5F}}, {{6, -0.25F}}},
                                         .num_drafted = 4,
                                         .num_accepted = 1,
                                         .candidates = {{3, -0.125F}, {4, -2.0F}}}},
                          .compute_us = 1234,
                          .draft_us = 56,
                          .draft_pass_us = 14};
  const auto decoded = decode_from_worker(encode(FromWorker(result)));
  ASSERT_TRUE(decoded.ok());
  const auto& back = std::get<StepResult>(decoded.value());
  EXPECT_EQ(back.epoch, 3U);
  EXPECT_EQ(back.step_id, 4U);
  EXPECT_EQ(back.compute_us, 1234);
  EXPECT_EQ(back.draft_us, 56);
  EXPECT_EQ(back.draft_pass_us, 14);
  ASSERT_EQ(back.sequences.size(), 1U);
  EXPECT_EQ(back.sequences[0].tokens, (std::vector<TokenId>{5, 6}));
  EXPECT_EQ(back.sequences[0].finish_reason, FinishReason::kStop);
  EXPECT_EQ(back.sequences[0].logprobs[0][1].token, 9);
  EXPECT_EQ(back.sequences[0].logprobs[1][0].logprob, -0.25F);
  EXPECT_EQ(back.sequences[0].num_drafted, 4);
  EXPECT_EQ(back.sequences[0].num_accepted, 1);
  ASSERT_EQ(back.sequences[0].candidates.size(), 2U);
  EXPECT_EQ(back.sequences[0].candidates[1].token, 4);
  EXPECT_EQ(back.sequences[0].candidates[1].logprob, -2.0F);
}

TEST(Wire, RegisterRoundTrip) {
  const Register message{.replica_key = "a",
                         .rank = 1,
                         .tensor_parallel_size = 2,
                         .info = {.num_blocks = 10,
                                  .max_num_sequences = 4,
                                  .max_tokens_per_step = 64,
                                  .max_context_tokens = 128,
                                  .vocab_size = 100,
                                  .tensor_parallel_size = 2,
                                  .kv_windows = {0, 48},
                                  .model_digest = "d",
                                  .max_draft_tokens = 8,
                                  .has_draft_model = true,
                                  .num_host_blocks = 12,
                                  .swap_block_ns = 5'000'000'000},
                         .build_version = "1"};
  const auto decoded = decode_from_worker(encode(FromWorker(message)));
  ASSERT_TRUE(decoded.ok());
  const auto& back = std::get<Register>(decoded.value());
  EXPECT_EQ(back.replica_key, "a");
  EXPECT_EQ(back.rank, 1U);
  EXPECT_EQ(back.info.max_context_tokens, 128);
  EXPECT_EQ(back.info.kv_windows, (std::vector<std::int32_t>{0, 48}));
  EXPECT_EQ(back.info.model_digest, "d");
  EXPECT_EQ(back.info.max_draft_tokens, 8);
  EXPECT_TRUE(back.info.has_draft_model);
  EXPECT_EQ(back.info.num_host_blocks, 12);
  EXPECT_EQ(back.info.swap_block_ns, 5'000'000'000);
  EXPECT_EQ(back.protocol_version, kControlProtocolVersion);
}

TEST(Wire, RefusesWhatCannotBe) {
  const auto refused = [](auto spoil) {
    StepPlan plan = sample_plan();
    spoil(plan);
    return !decode_to_worker(encode(ToWorker(plan))).ok();
  };
  EXPECT_FALSE(refused([](StepPlan&) {}));
  EXPECT_TRUE(refused([](StepPlan& p) { p.released = {-1}; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].slot = -1; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].tokens.clear(); }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].tokens[1] = -4; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].num_prompt_tokens = 4; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].num_computed = 3; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].blocks = {-1}; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.block_copies[0].source = -1; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.swapped_out[0].destination = -1; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.swapped_in[1].source = -1; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.scheduled[0].num_tokens = 0; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.scheduled[0].new_blocks = {-7}; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.scheduled[0].num_draft_tokens = -1; }));
  EXPECT_TRUE(refused([](StepPlan& p) { p.new_sequences[0].speculative = static_cast<SpeculativeMode>(9); }));
  EXPECT_FALSE(decode_to_worker("").ok());
  EXPECT_FALSE(decode_from_worker("").ok());
  EXPECT_FALSE(decode_from_worker("GET / HTTP/1.1\r\n\r\n").ok());
}

TEST(Wire, MutatedMessagesNeverCrash) {
  std::mt19937 random(1);
  const std::string plan = encode(ToWorker(sample_plan()));
  for (int i = 0; i < 20000; ++i) {
    std::string bytes = plan;
    for (unsigned n = random() % 4 + 1; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    const auto decoded = decode_to_worker(bytes);
    if (!decoded.ok()) continue;
    if (const auto* p = std::get_if<StepPlan>(&decoded.value())) {
      for (const auto& scheduled : p->scheduled) EXPECT_GE(scheduled.slot, 0);
    }
  }
}

}  // namespace
}  // namespace caudal
