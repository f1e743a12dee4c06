// Decode steps as graphs: bit for bit what steps queued op by op give, alone and with ranks that talk over NCCL; and
// what happens where recording fails. On the stand-in for CUDA, whose graphs are recorded launches.
#include "worker/graphs/decode_graphs.h"

#include "kernels/cuda/emulation/fake/device.h"
#include "kernels/factory/make_backend.h"
#include "tests/worker/device_ranks.h"
#include "tests/worker/mixed_family.h"
#include "tests/worker/runner/golden_cases.h"
#include "worker/comm/local.h"

namespace caudal {
namespace {

// Prompts of the fixture, more of them than a power of two, of different lengths, that end one after another.
std::vector<ToyRequest> requests_of(const Fixture& fixture) {
  std::vector<ToyRequest> requests = golden_requests(fixture, 6);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].params.stop.max_tokens += static_cast<std::int32_t>(i);
    requests[i].params.sampling.num_logprobs = 2;
    if (i % 2 == 1) requests[i].params.sampling.temperature = 0.9F;
  }
  return requests;
}

class DecodeGraphsTest : public testing::Test {
 protected:
  void SetUp() override { fake::reset({}); }
  void TearDown() override { fake::reset({}); }

  RunnerOptions options(DTypeChoice dtype) const {
    RunnerOptions options = golden_options(fixture_, dtype);
    options.max_num_sequences = 8;
    options.max_tokens_per_step = 256;
    options.kv.num_blocks = 128;
    options.max_draft_tokens = 0;
    return options;
  }
  // What comes out, and how many steps were one launch.
  ToyRun run(int ranks, DTypeChoice dtype, const JoinRanks& join, long& launches) const {
    TestReplica replica(fixture_.model_dir, ranks, options(dtype), "simt", join);
    if (!replica.valid()) return {};
    const long before = fake::counters().graph_launches;
    ToyRun answers = generate(replica, requests_of(fixture_), {.max_running = 7});
    launches = fake::counters().graph_launches - before;
    return answers;
  }

  Fixture fixture_ = load_fixture("qwen2");
};

TEST(DecodeGraphSizes, AreFewAndEndWithTheLargest) {
  EXPECT_EQ(DecodeGraphs::sizes(1), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(DecodeGraphs::sizes(6), (std::vector<std::int64_t>{1, 2, 4, 6}));
  EXPECT_EQ(DecodeGraphs::sizes(100), (std::vector<std::int64_t>{1, 2, 4, 8, 16, 32, 48, 64, 96, 100}));
  EXPECT_EQ(DecodeGraphs::sizes(4096).back(), 512);
}

TEST_F(DecodeGraphsTest, GiveWhatPlainStepsGive) {
  for (const DTypeChoice dtype : {DTypeChoice::kF32, DTypeChoice::kBF16}) {
    long with = 0, without = 0;
    const ToyRun graphs = run(1, dtype, {}, with), plain = run(1, dtype, through_the_host, without);
    EXPECT_GT(with, 5);
    EXPECT_EQ(without, 0);
    expect_same(graphs, plain);
  }
}

TEST_F(DecodeGraphsTest, WithASlidingWindow) {
  fixture_ = load_fixture("mistral");
  long with = 0, without = 0;
  const ToyRun graphs = run(1, DTypeChoice::kBF16, {}, with);
  expect_same(graphs, run(1, DTypeChoice::kBF16, through_the_host, without));
  EXPECT_GT(with, 5);
}

// Each kind of layer has an attention plan of its own, for which the memory plan has room. Two layers of the last kinds
// share the arrays of the cache.
TEST_F(DecodeGraphsTest, OfLayersThatDiffer) {
  const TemporaryDir dir;
  const std::vector<LayerConfig> layers = {
      {4, 2, 64, 0}, {2, 1, 128, 0}, {4, 1, 64, 20}, {2, 1, 64, 20}, {4, 2, 64, 20}};
  MixedModel{"", layers}.write_config(dir);
  RunnerOptions mixed = mixed_options();
  std::vector<ToyRequest> requests;
  for (const std::size_t length : {3U, 17U, 40U}) {
    std::vector<TokenId> prompt(length);
    for (std::size_t i = 0; i < length; ++i) prompt[i] = static_cast<TokenId>((i * i + length) % 101);
    requests.push_back(greedy_request(prompt, 6));
    requests.back().params.sampling.num_logprobs = 2;
  }
  for (const DTypeChoice dtype : {DTypeChoice::kF32, DTypeChoice::kBF16}) {
    mixed.dtype = dtype;
    std::vector<ToyRun> runs;
    for (const JoinRanks& join : {JoinRanks(), JoinRanks(through_the_host)}) {
      TestReplica replica(dir.path(), 1, mixed, "simt", join);
      ASSERT_TRUE(replica.valid());
      EXPECT_EQ(replica.info().num_kv_groups(), 4);
      const long before = fake::counters().graph_launches;
      runs.push_back(generate(replica, requests));
      EXPECT_EQ(fake::counters().graph_launches - before, join ? 0 : 5) << "all but the prompts'";
    }
    expect_same(runs[0], runs[1]);
    if (dtype == DTypeChoice::kBF16) continue;
    TestReplica cpu(dir.path(), 1, mixed);
    const ToyRun expected = generate(cpu, requests);
    for (std::size_t i = 0; i < requests.size(); ++i)
      EXPECT_EQ(runs[0].answers[i].tokens, expected.answers[i].tokens) << i;
  }
}

TEST_F(DecodeGraphsTest, RanksTalkInsideThem) {
  long with = 0, without = 0;
  const ToyRun graphs = run(2, DTypeChoice::kF32, over_nccl, with);
  expect_same(graphs, run(2, DTypeChoice::kF32, through_the_host, without));
  EXPECT_GT(with, 10);
  EXPECT_EQ(without, 0);
}

// The third of four recordings fails, on one rank of the two: sizes 1 and 2 are there on both, larger steps are plain.
TEST_F(DecodeGraphsTest, WhatCannotBeRecordedRunsPlainlyOnEveryRank) {
  long all = 0, some = 0, none = 0;
  const ToyRun plain = run(2, DTypeChoice::kF32, over_nccl, all);
  fake::settings().fail_call = "cudaGraphInstantiate";
  fake::settings().fail_after = 5;  // of two ranks
  expect_same(run(2, DTypeChoice::kF32, over_nccl, some), plain);
  EXPECT_TRUE(fake::settings().fail_call.empty()) << "it has failed";
  EXPECT_LT(some, all);
  EXPECT_GT(some, 0);
  EXPECT_EQ(some % 2, 0);
  fake::settings().fail_call = "cudaStreamBeginCapture";
  fake::settings().fail_after = 0;
  expect_same(run(2, DTypeChoice::kF32, over_nccl, none), plain);
  EXPECT_EQ(none, 0);
}

TEST_F(DecodeGraphsTest, StayWithinTheMemoryPlan) {
  fake::settings().graph_node_bytes = 10 << 20;
  const std::size_t before = fake::counters().device_bytes;
  long launches = 0;
  EXPECT_FALSE(run(1, DTypeChoice::kF32, {}, launches).answers.empty());
  EXPECT_EQ(launches, 0);
  EXPECT_EQ(fake::counters().device_bytes, before);
}

// The plan counts the messages between ranks, too: all graphs have room when the ops of both ranks, which share the
// device here and may see each other's memory, take together what is planned for those of one.
TEST_F(DecodeGraphsTest, HaveRoomForMessagesInTheMemoryPlan) {
  long small = 0, large = 0;
  const ToyRun answers = run(2, DTypeChoice::kF32, over_nccl, small);
  fake::settings().graph_node_bytes = 8 << 10;
  expect_same(run(2, DTypeChoice::kF32, over_nccl, large), answers);
  EXPECT_GT(small, 0);
  EXPECT_EQ(large, small);
}

class DraftGraphsTest : public DecodeGraphsTest {
 protected:
  // The model guesses for itself: nearly every guess is right, when it is computed right.
  ToyRun run_with_draft(int ranks, const JoinRanks& join, int num_draft_tokens, long& launches) const {
    RunnerOptions with_draft = options(DTypeChoice::kF32);
    with_draft.max_draft_tokens = 3;
    with_draft.draft_model_dir = fixture_.model_dir;
    TestReplica replica(fixture_.model_dir, ranks, with_draft, "simt", join);
    if (!replica.valid()) return {};
    std::vector<ToyRequest> requests = requests_of(fixture_);
    for (ToyRequest& request : requests) request.params.speculative = SpeculativeMode::kDraft;
    const long before = fake::counters().graph_launches;
    ToyRun run = generate(replica, requests, {.max_running = 7, .num_draft_tokens = num_draft_tokens});
    launches = fake::counters().graph_launches - before;
    return run;
  }
};

// Without graphs of its own, because the first recording fails and that is the draft model's, it guesses the same.
TEST_F(DraftGraphsTest, GuessWhatPlainPassesGuess) {
  long with = 0, without = 0;
  const ToyRun graphs = run_with_draft(2, over_nccl, 3, with);
  fake::settings().fail_call = "cudaStreamBeginCapture";
  const ToyRun plain = run_with_draft(2, over_nccl, 3, without);
  EXPECT_TRUE(fake::settings().fail_call.empty()) << "it has failed";
  expect_same(graphs, plain);
  EXPECT_EQ(graphs.num_drafted, plain.num_drafted);
  EXPECT_EQ(graphs.num_accepted, plain.num_accepted);
  EXPECT_GT(graphs.num_accepted, graphs.num_drafted / 2);
  EXPECT_GT(with, without + 5);
}

// Graphs as large as planned, of both models, have room: also those that are recorded last, for full plain steps.
TEST_F(DraftGraphsTest, StandInTheMemoryPlan) {
  long small = 0, large = 0;
  const ToyRun run = run_with_draft(1, {}, 0, small);
  fake::settings().graph_node_bytes = 16 << 10;
  expect_same(run_with_draft(1, {}, 0, large), run);
  EXPECT_EQ(large, small);
}

// Steps that check guesses, of sequences with different numbers of them, against steps queued op by op.
TEST_F(DecodeGraphsTest, HoldGuesses) {
  for (const DTypeChoice dtype : {DTypeChoice::kF32, DTypeChoice::kBF16}) {
    RunnerOptions guessing = options(dtype);
    guessing.max_tokens_per_step = 512;           // of all prompts and the guesses behind them
    guessing.max_draft_tokens = kMaxDraftTokens;  // attention's graph has two tiles of rows, plain steps most often one
    std::vector<ToyRequest> requests = requests_of(fixture_);
    for (ToyRequest& request : requests) {
      std::vector<TokenId>& prompt = request.prompt;
      prompt.resize(std::min<std::size_t>(prompt.size(), 20));
      for (std::size_t i = 0, once = prompt.size(); i < once; ++i)
        prompt.push_back(prompt[i]);  // something to look back at
      request.params.speculative = SpeculativeMode::kNgram;
    }
    std::vector<ToyRun> runs;
    std::vector<long> launches;
    for (const JoinRanks& join : {JoinRanks(), JoinRanks(through_the_host)}) {
      TestReplica replica(fixture_.model_dir, 1, guessing, "simt", join);
      ASSERT_TRUE(replica.valid());
      const long before = fake::counters().graph_launches;
      runs.push_back(generate(replica, requests, {.max_running = 7, .num_draft_tokens = kMaxDraftTokens}));
      launches.push_back(fake::counters().graph_launches - before);
    }
    expect_same(runs[0], runs[1]);
    EXPECT_EQ(runs[0].num_drafted, runs[1].num_drafted);
    EXPECT_GT(runs[0].num_drafted, 5);
    EXPECT_EQ(launches[0], runs[0].num_steps - 1) << "all but the prompts'";
    EXPECT_EQ(launches[1], 0);
  }
}

// A kernel that dies while a pass is recorded is no reason to go on without graphs.
TEST_F(DecodeGraphsTest, ADeadDeviceEndsTheStart) {
  const std::unique_ptr<Backend> backend = std::move(make_backend({.device = "simt", .max_isa = ""})).value();
  const std::unique_ptr<Communicator> alone = std::move(make_local_group(1).front());
  fake::settings().fail_call = "kernel";
  fake::settings().fail_with = cudaErrorIllegalAddress;
  const auto runner = Runner::create(*backend, *alone, fixture_.model_dir, options(DTypeChoice::kF32));
  ASSERT_FALSE(runner.ok());
  EXPECT_NE(runner.error().message.find("cudaErrorIllegalAddress"), std::string::npos);
}

}  // namespace
}  // namespace caudal
