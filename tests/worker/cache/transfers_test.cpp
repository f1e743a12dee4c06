// The coordinator's scheduler over a real replica whose pool is too small: what comes back from host memory goes on as
// if it had never left. And how much host memory a rank takes. On the build's device, by CAUDAL_TEST_DEVICE.
#include "worker/cache/host_blocks.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <optional>
#include <random>

#include "coordinator/scheduler/scheduler.h"
#include "tests/worker/fixture.h"
#include "tests/worker/mixed_family.h"
#include "tests/worker/replica.h"

namespace caudal {
namespace {

constexpr bool kOnCpu = std::string_view(CAUDAL_TEST_DEVICE) == "cpu";

struct Served {
  std::vector<std::vector<TokenId>> tokens;  // by request
  SchedulerStats stats;
  ReplicaStats replica;
};

std::vector<Request> requests(std::int32_t vocab_size) {
  std::mt19937 random(11);
  std::vector<Request> all;
  for (RequestId id = 1; id <= (kOnCpu ? 12 : 3); ++id) {
    Request& request = all.emplace_back();
    request.id = id;
    request.prompt.resize(10 + random() % 30);
    for (TokenId& token : request.prompt) token = static_cast<TokenId>(random() % static_cast<unsigned>(vocab_size));
    request.params.sampling.temperature = id % 2 == 0 ? 0.8F : 0.0F;
    request.params.sampling.seed = random();
    request.params.stop.max_tokens = 30 + static_cast<std::int32_t>(random() % 10);
  }
  return all;
}

struct Model {
  const char* name;
  int ranks = 1;
  std::int32_t num_groups = 1;  // of KV layers
};

// Two layers of the second share the arrays that one of the first has for itself.
std::optional<MixedModel> mixed_model(const Model& model) {
  if (model.num_groups == 1) return std::nullopt;
  return MixedModel{"HalfRows", {{8, 4, 16, 0}, {4, 2, 16, 20}, {4, 2, 16, 20}}};
}

// In steps one after another, or with a second plan made before the first is answered. Blocks for each KV group.
Served serve(const Model& model, std::int32_t num_blocks, std::int32_t num_host_blocks, bool overlaps,
             bool prefix_caching) {
  const TemporaryDir dir;
  const std::optional<MixedModel> mixed = mixed_model(model);
  if (mixed) mixed->write_config(dir);
  RunnerOptions options = mixed ? mixed_options() : RunnerOptions{};
  options.dtype = DTypeChoice::kF32;
  options.max_num_sequences = 16;
  options.max_tokens_per_step = 64;
  options.max_context_tokens = 96;
  options.kv.num_blocks = 64 * model.num_groups;
  if (kOnCpu) options.host_blocks.bytes = std::size_t{64} << 20;
  TestReplica replica(mixed ? dir.path() : load_fixture("qwen2").model_dir, model.ranks, options, CAUDAL_TEST_DEVICE);
  if (!replica.valid()) return {};
  ReplicaInfo info = replica.info();
  EXPECT_GT(info.swap_block_ns, 0);
  EXPECT_EQ(info.num_kv_groups(), model.num_groups);
  if (kOnCpu) {
    EXPECT_GE(info.num_host_blocks, 64 * model.num_groups);
  } else {
    EXPECT_EQ(info.num_host_blocks, 64 * model.num_groups) << "as many as on the device";
  }
  info.num_blocks = num_blocks * model.num_groups;
  info.num_host_blocks = num_host_blocks * model.num_groups;
  info.swap_block_ns = 1;  // however busy the machine is

  Scheduler scheduler(SchedulerConfig{.max_plans_in_flight = overlaps ? 2 : 1, .prefix_caching = prefix_caching});
  scheduler.replica_joined(1, 1, info, 0);
  Served served;
  for (Request& request : requests(info.vocab_size)) {
    served.tokens.emplace_back();
    EXPECT_EQ(scheduler.submit(std::move(request), 0), RejectReason::kNone);
  }
  std::vector<StepPlan> plans;
  while (true) {
    while (auto plan = scheduler.plan(1, 0)) plans.push_back(std::move(*plan));
    if (plans.empty()) break;
    EXPECT_TRUE(scheduler.apply(1, replica.run(plans.front()), 0));
    plans.erase(plans.begin());
    scheduler.check_integrity();
    for (const TokenEvent& event : scheduler.take_events()) {
      std::vector<TokenId>& tokens = served.tokens[event.request_id - 1];
      tokens.insert(tokens.end(), event.tokens.begin(), event.tokens.end());
    }
  }
  served.stats = scheduler.stats();
  served.replica = scheduler.replica_stats(1);
  return served;
}

class Swap : public testing::TestWithParam<Model> {};

TEST_P(Swap, TokensAreThoseOfARoomyPool) {
  const std::int32_t few = kOnCpu ? 16 : 7;
  const Served roomy = serve(GetParam(), 64, 0, true, false);
  EXPECT_EQ(roomy.stats.num_preemptions, 0U);
  for (const bool overlaps : {false, true}) {
    for (const bool prefix_caching : {false, true}) {
      if (!kOnCpu && overlaps != prefix_caching) continue;  // under emulation every step counts
      const Served squeezed = serve(GetParam(), few, 8, overlaps, prefix_caching);
      EXPECT_EQ(squeezed.tokens, roomy.tokens);
      EXPECT_GT(squeezed.replica.num_sequences_from_host, 0U);
      if (!prefix_caching) {
        EXPECT_GT(squeezed.replica.num_blocks_from_host, 0U);
      }
      EXPECT_EQ(squeezed.replica.num_transfers, 0);
      EXPECT_EQ(squeezed.stats.num_finished, roomy.tokens.size());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Swap,
                         testing::Values(Model{"OneRank"}, Model{"TwoRanks", 2}, Model{"TwoSizes", 1, 2},
                                         Model{"TwoSizesOnTwoRanks", 2, 2}),
                         [](const auto& info) { return std::string(info.param.name); });

// More KV blocks are the same memory there.
TEST(SwapPlan, CpusHaveNoHostPoolUnlessAsked) {
  RunnerOptions options;
  options.kv.num_blocks = 64;
  for (const bool asked : {false, true}) {
    if (asked) options.host_blocks.bytes = std::size_t{1} << 20;
    TestReplica replica(load_fixture("qwen2").model_dir, 1, options, "cpu");
    ASSERT_TRUE(replica.valid());
    EXPECT_EQ(replica.info().num_host_blocks > 0, asked);
    EXPECT_EQ(replica.info().swap_block_ns > 0, asked);
  }
}

TEST(SwapPlan, IsBoundedByTheCacheTheHostAndTheFlag) {
  constexpr std::size_t kGiB = std::size_t{1} << 30;
  const auto blocks = [](const HostBlocksBudget& budget, std::int64_t num_blocks, std::size_t free_bytes) {
    MemoryPlan plan;
    plan.num_blocks = num_blocks;
    const Result<void> planned = plan_host_blocks(budget, 1 << 20, free_bytes, plan);
    return planned ? plan.num_host_blocks : -1;
  };
  EXPECT_EQ(blocks({}, 100, 64 * kGiB), 100) << "as many as the cache has";
  EXPECT_EQ(blocks({}, 100'000, 640 * kGiB), 4096) << "4 GiB";
  EXPECT_EQ(blocks({}, 100'000, 8 * kGiB), 1024) << "an eighth of the host";
  EXPECT_EQ(blocks({.ranks_on_host = 4}, 100'000, 8 * kGiB), 256);
  EXPECT_EQ(blocks({.bytes = 0}, 100, 64 * kGiB), 0) << "turned off";
  EXPECT_EQ(blocks({.bytes = 7 * kGiB}, 100, 8 * kGiB), 7168) << "as asked";
  EXPECT_EQ(blocks({.bytes = 7 * kGiB, .ranks_on_host = 2}, 100, 8 * kGiB), -1);
  MemoryPlan plan;
  EXPECT_EQ(plan_host_blocks({.bytes = 2 * kGiB}, 1 << 20, kGiB, plan).error().field, "swap-bytes");
}

}  // namespace
}  // namespace caudal
