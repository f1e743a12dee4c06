// Steps beyond the golden answers, on the CPU and on the build's CUDA device, emulated or real: stop rules, two plans
// in flight, forks, unusable logits, batches of 32, sampled tokens that do not depend on company. On the fixture
// models.
#include "worker/runner/runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "kernels/factory/make_backend.h"
#include "tests/sanitized.h"
#include "tests/worker/fixture.h"
#include "tests/worker/model/weights/safetensors_file.h"
#include "tests/worker/toy_scheduler.h"
#include "worker/comm/local.h"
#include "worker/model/weights/safetensors.h"

#ifndef CAUDAL_TEST_DEVICE
#define CAUDAL_TEST_DEVICE "cpu"
#endif

namespace caudal {
namespace {

const std::string kDevice = CAUDAL_TEST_DEVICE;

RunnerOptions small_options() {
  RunnerOptions options;
  options.dtype = DTypeChoice::kF32;
  options.max_num_sequences = 32;
  options.max_tokens_per_step = 512;
  options.kv.num_blocks = 512;
  return options;
}

std::vector<std::vector<TokenId>> tokens_of(const ToyRun& run) {
  std::vector<std::vector<TokenId>> tokens;
  for (const ToyAnswer& answer : run.answers) tokens.push_back(answer.tokens);
  return tokens;
}

// Requests of mixed lengths with every kind of sampling. Fewer under emulation, where every CUDA thread is a fiber.
std::vector<ToyRequest> mixed_requests(std::int32_t vocab_size) {
  std::mt19937 random(3);
  std::vector<ToyRequest> requests;
  for (int i = 0; i < (kDevice == "simt" ? 6 : 32); ++i) {
    std::vector<TokenId> prompt(1 + random() % 90);
    for (TokenId& token : prompt) token = static_cast<TokenId>(random() % static_cast<unsigned>(vocab_size));
    ToyRequest request = greedy_request(prompt, kDevice == "simt" ? 12 : 8 + static_cast<std::int32_t>(random() % 24));
    request.params.sampling.seed = random();
    if (i % 4 != 0) request.params.sampling.temperature = 0.8F;
    if (i % 4 == 1) request.params.sampling.top_k = 20;
    if (i % 4 == 2) request.params.sampling.top_p = 0.9F;
    if (i % 8 == 3) request.params.sampling.repetition_penalty = 1.3F;
    if (i % 8 == 7) request.params.sampling.frequency_penalty = 0.4F;
    requests.push_back(std::move(request));
  }
  return requests;
}

TEST(Runner, MixedBatchEqualsAloneChunkedAndSqueezed) {
  if (kDevice == "simt" && test::kSanitized) GTEST_SKIP() << "long under emulation";
  const Fixture fixture = load_fixture("llama3_2");
  TestReplica replica(fixture.model_dir, 1, small_options(), kDevice, {}, /*deterministic=*/true);
  ASSERT_TRUE(replica.valid());
  const std::vector<ToyRequest> requests = mixed_requests(replica.info().vocab_size);
  const auto together = tokens_of(generate(replica, requests));
  EXPECT_EQ(tokens_of(generate(replica, requests, {.max_running = 1})), together);
  EXPECT_EQ(tokens_of(generate(replica, requests, {.chunk = 7})), together);
  const ToyRun squeezed = generate(replica, requests, {.num_blocks = kDevice == "simt" ? 10 : 24});
  EXPECT_GT(squeezed.num_preemptions, 0);
  EXPECT_EQ(tokens_of(squeezed), together);
  TestReplica two(fixture.model_dir, 2, small_options(), kDevice, {}, /*deterministic=*/true);
  EXPECT_EQ(tokens_of(generate(two, requests)), together);
}

TEST(Runner, StopTokensMinTokensAndLogprobs) {
  const Fixture fixture = load_fixture("llama3_2");
  TestReplica replica(fixture.model_dir, 2, small_options(), kDevice);
  ASSERT_TRUE(replica.valid());
  const FixtureCase& c = fixture.cases[1];
  ToyRequest stops = greedy_request(c.prompt, 64), waits = stops, shows = greedy_request(c.prompt, 2);
  stops.params.stop.stop_token_ids = {c.greedy_f32[5]};
  waits.params.stop.stop_token_ids = {c.greedy_f32[5]};
  waits.params.stop.min_tokens = 64;
  shows.params.sampling.num_logprobs = 3;
  const ToyRun run = generate(replica, {stops, waits, shows});
  const auto first = std::find(c.greedy_f32.begin(), c.greedy_f32.end(), c.greedy_f32[5]);
  EXPECT_EQ(run.answers[0].tokens, std::vector<TokenId>(c.greedy_f32.begin(), first + 1));
  EXPECT_EQ(run.answers[0].finish_reason, FinishReason::kStop);
  EXPECT_EQ(run.answers[1].tokens.size(), 64U);
  EXPECT_EQ(std::count(run.answers[1].tokens.begin(), run.answers[1].tokens.end(), c.greedy_f32[5]), 0);
  ASSERT_EQ(run.answers[2].logprobs.size(), 2U);
  EXPECT_EQ(run.answers[2].logprobs[0].front().token, c.greedy_f32[0]);
  EXPECT_LE(run.answers[2].logprobs[0].front().logprob, 0.0F);
}

// The coordinator sends step 2 before it knows that step 1 ends the sequence.
TEST(Runner, SecondPlanInFlightSkipsTheFinished) {
  const Fixture fixture = load_fixture("qwen2");
  TestReplica replica(fixture.model_dir, 1, small_options(), kDevice);
  ASSERT_TRUE(replica.valid());
  StepPlan first;
  first.step_id = 1;
  NewSequence& sequence = first.new_sequences.emplace_back();
  sequence.tokens = fixture.cases[1].prompt;
  sequence.num_prompt_tokens = static_cast<std::int32_t>(sequence.tokens.size());
  sequence.blocks = {0, 1};
  sequence.params.sampling.temperature = 0.0F;
  sequence.params.stop.max_tokens = 1;
  first.scheduled = {{0, 7, {}}};
  EXPECT_EQ(replica.run(first).sequences.at(0).finish_reason, FinishReason::kLength);
  StepPlan second;
  second.step_id = 2;
  second.scheduled = {{0, 1, {}}};
  EXPECT_TRUE(replica.run(second).sequences.empty());
}

// A fork shares full blocks, and the copied last block is its own from then on.
TEST(Runner, ForkContinuesFromCopiedBlocks) {
  const Fixture fixture = load_fixture("llama3_2");
  TestReplica replica(fixture.model_dir, 2, small_options(), kDevice);
  ASSERT_TRUE(replica.valid());
  const FixtureCase& c = fixture.cases[2];  // 17 tokens: one full block and one token
  ASSERT_EQ(c.prompt.size(), 17U);
  NewSequence parent;
  parent.tokens = c.prompt;
  parent.num_prompt_tokens = 17;
  parent.blocks = {4, 9};
  parent.params.sampling.temperature = 0.0F;
  StepPlan prefill;
  prefill.step_id = 1;
  prefill.new_sequences = {parent};
  prefill.scheduled = {{0, 17, {}}};
  ASSERT_EQ(replica.run(prefill).sequences.at(0).tokens, std::vector<TokenId>{c.greedy_f32[0]});
  NewSequence child = parent;
  child.slot = 1;
  child.tokens.push_back(c.greedy_f32[0]);
  child.num_computed = 17;
  child.blocks = {4, 11};
  StepPlan both;
  both.step_id = 2;
  both.new_sequences = {child};
  both.block_copies = {{9, 11}};
  both.scheduled = {{0, 1, {}}, {1, 1, {}}};
  for (const SequenceResult& result : replica.run(both).sequences)
    EXPECT_EQ(result.tokens, std::vector<TokenId>{c.greedy_f32[1]});
}

// What the coordinator frees behind the window may be somebody else's in the same step.
TEST(Runner, BlocksBehindTheWindowMayHoldAnything) {
  const Fixture fixture = load_fixture("mistral");
  NewSequence first;
  first.tokens = mixed_requests(300)[0].prompt;
  while (first.tokens.size() < 240) first.tokens.push_back(static_cast<TokenId>(7 * first.tokens.size() % 300));
  first.num_prompt_tokens = 240;
  for (const BlockId block : ids<BlockId>(16)) first.blocks.push_back(block);
  first.params.sampling.temperature = 0.0F;
  std::vector<TokenId> answers;
  for (const bool reused : {false, true}) {
    TestReplica replica(fixture.model_dir, 1, small_options(), kDevice);
    ASSERT_TRUE(replica.valid());
    const std::int32_t num_hidden = (200 - replica.info().kv_windows.front() + 1) / kBlockSize;
    const bool on_host = kDevice == "cpu";
    ASSERT_EQ(num_hidden, on_host ? 6 : 2) << "of a window of 32, and the tile of 64 or 128 keys that it may begin in";
    StepPlan step;
    step.step_id = 1;
    step.new_sequences = {first};
    step.scheduled = {{0, 200, {}}};
    replica.run(step);
    NewSequence other = first;
    other.slot = 1;
    std::ranges::reverse(other.tokens);
    other.blocks.clear();
    for (std::int32_t i = 0; i < num_hidden; ++i) other.blocks.push_back(BlockId::of(reused ? i : 20 + i));
    step.step_id = 2;
    step.new_sequences = {other};
    step.scheduled = {{1, num_hidden * kBlockSize, {}}, {0, 40, {}}};
    answers.push_back(replica.run(step).sequences.at(1).tokens.at(0));
  }
  EXPECT_EQ(answers[0], answers[1]);
}

// One token's embedding is NaN: who uses it ends in an error, nobody else notices, not even who gets its blocks.
TEST(Runner, NaNLogitsEndOnlyTheirSequence) {
  const Fixture fixture = load_fixture("llama_linear");  // f32, untied
  const SafetensorsFile stored = SafetensorsFile::open(fixture.model_dir / "model.safetensors").value();
  std::map<std::string, TestTensor> tensors;
  for (const auto& [name, tensor] : stored.tensors())
    tensors[name] = {tensor.format, tensor.shape,
                     std::string(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size())};
  TestTensor& embedding = tensors.at("model.embed_tokens.weight");
  ASSERT_EQ(embedding.dtype, "F32");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(embedding.data.data(), &nan, sizeof nan);  // of token 0
  const TemporaryDir dir;
  dir.write("model.safetensors", safetensors_image(tensors));
  std::filesystem::copy_file(fixture.model_dir / "config.json", dir.path() / "config.json");

  TestReplica replica(dir.path(), 2, small_options(), kDevice);
  ASSERT_TRUE(replica.valid());
  const FixtureCase& c = fixture.cases[1];
  ASSERT_EQ(std::count(c.prompt.begin(), c.prompt.end(), 0), 0);
  std::vector<TokenId> poisoned = c.prompt;
  poisoned[3] = 0;
  const ToyRequest sound = greedy_request(c.prompt, 64), bad = greedy_request(poisoned, 64);
  const ToyRun run = generate(replica, {sound, bad, sound, bad, sound}, {.max_running = 2, .num_blocks = 10});
  for (std::size_t i : {0U, 2U, 4U}) EXPECT_EQ(run.answers[i].tokens, c.greedy_f32) << i;
  for (std::size_t i : {1U, 3U}) {
    EXPECT_EQ(run.answers[i].finish_reason, FinishReason::kError);
    EXPECT_TRUE(run.answers[i].tokens.empty());
  }
}

TEST(Runner, RefusesWhatCannotBeServed) {
  const Fixture fixture = load_fixture("llama2");
  const auto error_with = [&](const std::function<void(RunnerOptions&)>& change) {
    RunnerOptions options = small_options();
    change(options);
    const std::unique_ptr<Backend> backend =
        std::move(make_backend({.device = kDevice, .num_threads = 1, .max_isa = ""})).value();
    const std::unique_ptr<Communicator> alone = std::move(make_local_group(1).front());
    const auto runner = Runner::create(*backend, *alone, fixture.model_dir, options);
    return runner.ok() ? "" : runner.error().field;
  };
  EXPECT_EQ(error_with([](RunnerOptions&) {}), "");
  const std::string f16 = kDevice == "cpu" ? "dtype" : "";  // in which a CPU does not compute
  EXPECT_EQ(error_with([](RunnerOptions& o) { o.dtype = DTypeChoice::kF16; }), f16);
  EXPECT_EQ(error_with([](RunnerOptions& o) { o.dtype = DTypeChoice::kAuto; }), "");  // though f16 is stored
  EXPECT_EQ(error_with([](RunnerOptions& o) { o.max_context_tokens = 257; }), "max-context-tokens");
  EXPECT_EQ(error_with([](RunnerOptions& o) {
              o.max_context_tokens = 256;
              o.kv.num_blocks = 15;
            }),
            "max-context-tokens");
  EXPECT_EQ(error_with([](RunnerOptions& o) { o.max_tokens_per_step = 8; }), "max-tokens-per-step");
  EXPECT_EQ(error_with([](RunnerOptions& o) { o.kv.num_blocks = 1LL << 40; }), "num-blocks");
}

TEST(Runner, SaysWhatItCanHold) {
  RunnerOptions options = small_options();
  options.kv.num_blocks = 4;
  TestReplica replica(load_fixture("qwen3").model_dir, 2, options, kDevice);
  ASSERT_TRUE(replica.valid());
  EXPECT_EQ(replica.info().num_blocks, 4);
  EXPECT_EQ(replica.info().max_context_tokens, 64);  // what four blocks hold
  EXPECT_EQ(replica.info().topology.tensor, 2);
  EXPECT_EQ(replica.info().kv_windows, std::vector<std::int32_t>{0});
  EXPECT_EQ(replica.info().vocab_size, 320);
  EXPECT_EQ(replica.info().model_digest.size(), 129U);
}

}  // namespace
}  // namespace caudal
