// Speculation changes no token: wherever draft tokens come from, and however good they are, the answers are those of
// plain decoding. Both kinds of drafts, every kind of sampling, stop rules inside accepted runs, preemption, chunks,
// tensor parallelism.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <random>

#include "kernels/factory/make_backend.h"
#include "tests/worker/fixture.h"
#include "tests/worker/model/weights/safetensors_file.h"
#include "tests/worker/toy_scheduler.h"
#include "worker/comm/local.h"

namespace caudal {
namespace {

RunnerOptions small_options() {
  RunnerOptions options;
  options.dtype = DTypeChoice::kF32;
  options.max_num_sequences = 16;
  options.max_tokens_per_step = 512;
  options.kv.num_blocks = 512;
  return options;
}

// The model drafts for itself: nearly every draft token is right.
RunnerOptions with_draft(const std::filesystem::path& draft) {
  RunnerOptions options = small_options();
  options.draft_model_dir = draft;
  return options;
}

std::vector<ToyRequest> mixed_requests(std::int32_t vocab_size) {
  std::mt19937 random(3);
  std::vector<ToyRequest> requests;
  for (int i = 0; i < 16; ++i) {
    std::vector<TokenId> phrase(5 + random() % 12), prompt;
    for (TokenId& token : phrase) token = static_cast<TokenId>(random() % static_cast<unsigned>(vocab_size));
    for (int times = 0; times < 4; ++times) prompt.insert(prompt.end(), phrase.begin(), phrase.end());
    ToyRequest request = greedy_request(prompt, 8 + static_cast<std::int32_t>(random() % 40));
    request.params.sampling.seed = random();
    if (i % 4 != 0) request.params.sampling.temperature = 0.3F + 0.3F * static_cast<float>(i % 4);
    if (i % 4 == 1) request.params.sampling.top_k = 20;
    if (i % 4 == 2) request.params.sampling.top_p = 0.9F;
    if (i % 8 == 4) request.params.sampling.repetition_penalty = 1.3F;
    if (i % 8 == 7) request.params.sampling.frequency_penalty = 0.4F;
    if (i % 5 == 1) request.params.sampling.presence_penalty = 0.5F;
    if (i % 5 == 2) request.params.sampling.logit_bias = {{phrase[0], 3.0F}, {phrase[1], -4.0F}};
    if (i % 4 == 2) request.params.sampling.bad_words = {{phrase[0]}, {phrase[1], phrase[2]}};
    if (i % 3 == 0) request.params.stop.stop_token_ids = {phrase[2], phrase[3]};
    if (i % 6 == 0) request.params.stop.min_tokens = 6;
    if (i % 4 == 3) request.params.sampling.num_logprobs = 2;
    request.params.speculative = static_cast<SpeculativeMode>((i + 3) % 4);
    requests.push_back(std::move(request));
  }
  return requests;
}

void expect_same(const ToyRun& run, const ToyRun& plain, const std::string& what) {
  ASSERT_EQ(run.answers.size(), plain.answers.size());
  for (std::size_t i = 0; i < plain.answers.size(); ++i) {
    const ToyAnswer &a = run.answers[i], &b = plain.answers[i];
    EXPECT_EQ(a.tokens, b.tokens) << what << ", request " << i;
    EXPECT_EQ(a.finish_reason, b.finish_reason) << what << ", request " << i;
    ASSERT_EQ(a.logprobs.size(), b.logprobs.size()) << what << ", request " << i;
    for (std::size_t t = 0; t < a.logprobs.size(); ++t)
      for (std::size_t n = 0; n < a.logprobs[t].size(); ++n) {
        EXPECT_EQ(a.logprobs[t][n].token, b.logprobs[t][n].token);
        EXPECT_EQ(a.logprobs[t][n].logprob, b.logprobs[t][n].logprob) << "bit for bit";
      }
  }
}

void expect_plain_tokens(TestReplica& replica, const ToyRun& plain, const std::vector<ToyRequest>& requests) {
  for (std::int32_t k : {2, 8}) {
    const std::string what = std::to_string(k) + " drafts";
    const ToyRun run = generate(replica, requests, {.num_draft_tokens = k});
    expect_same(run, plain, what);
    EXPECT_GT(run.num_accepted, 0);
    EXPECT_LE(run.num_accepted, run.num_drafted);
    EXPECT_LT(run.num_steps, plain.num_steps);
    if (k == 8)
      expect_same(generate(replica, requests, {.chunk = 7, .num_draft_tokens = k}), plain, what + ", in chunks");
    const ToyRun squeezed = generate(replica, requests, {.num_blocks = 20, .num_draft_tokens = k});
    EXPECT_GT(squeezed.num_preemptions, 0);
    expect_same(squeezed, plain, what + ", preempted");
  }
}

TEST(Speculation, AGoodDraftModelAndNgramsChangeNoToken) {
  const Fixture fixture = load_fixture("llama3_2");
  for (int ranks : {1, 2}) {
    TestReplica replica(fixture.model_dir, ranks, with_draft(fixture.model_dir));
    ASSERT_TRUE(replica.valid());
    EXPECT_TRUE(replica.info().has_draft_model);
    const std::vector<ToyRequest> requests = mixed_requests(replica.info().vocab_size);
    const ToyRun plain = generate(replica, requests);
    EXPECT_EQ(plain.num_drafted, 0);
    expect_plain_tokens(replica, plain, requests);
  }
}

TEST(Speculation, APoorDraftModelChangesNoToken) {
  const Fixture fixture = load_fixture("llama3_2");
  RunnerOptions options = small_options();
  options.draft_model_dir = load_fixture("qwen3").model_dir;  // the same 320 tokens, and nothing else in common
  TestReplica replica(fixture.model_dir, 1, options);
  ASSERT_TRUE(replica.valid());
  std::vector<ToyRequest> requests = mixed_requests(replica.info().vocab_size);
  for (ToyRequest& request : requests) request.params.speculative = SpeculativeMode::kDraft;
  const ToyRun plain = generate(replica, requests);
  const ToyRun run = generate(replica, requests, {.num_draft_tokens = 4});
  expect_same(run, plain, "poor drafts");
  EXPECT_GT(run.num_drafted, 0);
}

bool contains(const std::vector<TokenId>& tokens, const std::vector<TokenId>& word) {
  return !std::ranges::search(tokens, word).empty();
}

// What the model would say is banned piece by piece: a token, a pair that stands in the answer, three in a row.
TEST(Speculation, BadWordsNeverComeOut) {
  const Fixture fixture = load_fixture("llama3_2");
  TestReplica replica(fixture.model_dir, 1, with_draft(fixture.model_dir));
  ASSERT_TRUE(replica.valid());
  std::vector<ToyRequest> requests;
  for (const FixtureCase& c : fixture.cases) requests.push_back(greedy_request(c.prompt, 48));
  const ToyRun free = generate(replica, requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const std::vector<TokenId>& said = free.answers[i].tokens;
    requests[i].params.sampling.bad_words = {{said[20]}, {said[10], said[11]}, {said[3], said[4], said[5]}};
  }
  const ToyRun plain = generate(replica, requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    for (const std::vector<TokenId>& word : requests[i].params.sampling.bad_words) {
      EXPECT_TRUE(contains(free.answers[i].tokens, word));
      EXPECT_FALSE(contains(plain.answers[i].tokens, word)) << "request " << i;
    }
  }
  for (const std::int32_t k : {1, 4, 8}) {
    const ToyRun run = generate(replica, requests, {.num_draft_tokens = k});
    expect_same(run, plain, std::to_string(k) + " drafts");
    EXPECT_GT(run.num_accepted, 0);
  }
}

TEST(Speculation, GoldenTokensOfEveryFamily) {
  for (const std::string& name : fixture_names()) {
    const Fixture fixture = load_fixture(name);
    RunnerOptions options = with_draft(fixture.model_dir);
    options.max_context_tokens = fixture.context;
    TestReplica replica(fixture.model_dir, 1, options);
    ASSERT_TRUE(replica.valid());
    std::vector<ToyRequest> requests;
    for (const FixtureCase& c : fixture.cases)
      requests.push_back(greedy_request(c.prompt, static_cast<std::int32_t>(c.greedy_f32.size())));
    const ToyRun run = generate(replica, requests, {.num_draft_tokens = 5});
    for (std::size_t i = 0; i < fixture.cases.size(); ++i)
      EXPECT_EQ(run.answers[i].tokens, fixture.cases[i].greedy_f32) << name << " case " << i;
    EXPECT_GT(run.num_accepted, run.num_drafted / 2) << name << ": it drafts for itself";
  }
}

// A prompt far longer than what the draft model catches up with in a step.
TEST(Speculation, ADraftModelThatLagsCatchesUp) {
  const Fixture fixture = load_fixture("llama2");
  RunnerOptions options = with_draft(fixture.model_dir);
  options.max_num_sequences = 4;
  options.max_tokens_per_step = 1024;
  options.max_context_tokens = 0;
  TestReplica replica(fixture.model_dir, 1, options);
  ASSERT_TRUE(replica.valid());
  std::mt19937 random(8);
  std::vector<ToyRequest> requests;
  for (int i = 0; i < 4; ++i) {
    std::vector<TokenId> prompt(static_cast<std::size_t>(replica.info().max_context_tokens) - 50);
    for (TokenId& token : prompt) token = static_cast<TokenId>(random() % 300);
    requests.push_back(greedy_request(prompt, 40));
    requests.back().params.speculative = SpeculativeMode::kDraft;
  }
  const ToyRun plain = generate(replica, requests);
  const ToyRun run = generate(replica, requests, {.num_draft_tokens = 4});
  expect_same(run, plain, "lagging");
  EXPECT_GT(run.num_accepted, run.num_drafted * 3 / 4);
}

TEST(Speculation, RefusesADraftThatDoesNotFit) {
  const Fixture fixture = load_fixture("llama3_2");
  const auto error_with = [&](const RunnerOptions& options) {
    const std::unique_ptr<Backend> backend = std::move(make_backend({.num_threads = 1, .max_isa = ""})).value();
    const std::unique_ptr<Communicator> alone = std::move(make_local_group(1).front());
    const auto runner = Runner::create(*backend, *alone, fixture.model_dir, options);
    return runner.ok() ? Error{"", ""} : runner.error();
  };
  const TemporaryDir dir;  // another vocabulary
  std::ifstream file(fixture.model_dir / "config.json");
  std::string config((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto at = config.find("\"vocab_size\": 320");
  ASSERT_NE(at, std::string::npos);
  config.replace(at, 17, "\"vocab_size\": 336");
  dir.write("config.json", config);
  const Error vocabulary = error_with(with_draft(dir.path()));
  EXPECT_EQ(vocabulary.field, "draft-model");
  EXPECT_NE(vocabulary.message.find("336"), std::string::npos) << vocabulary.message;
  EXPECT_NE(vocabulary.message.find("320"), std::string::npos) << vocabulary.message;

  const TemporaryDir empty;
  EXPECT_EQ(error_with(with_draft(empty.path())).field, "draft-model");
  RunnerOptions huge = with_draft(fixture.model_dir);
  huge.kv.num_blocks = 1LL << 40;
  EXPECT_NE(error_with(huge).message.find("draft model"), std::string::npos);
  RunnerOptions none = with_draft(fixture.model_dir);
  none.max_draft_tokens = 0;
  EXPECT_EQ(error_with(none).field, "draft-model");
  RunnerOptions many = small_options();
  many.max_draft_tokens = kMaxDraftTokens + 1;
  EXPECT_EQ(error_with(many).field, "max-draft-tokens");
}

}  // namespace
}  // namespace caudal
