// A model with layers that see everything beside layers with a window, served by the coordinator's scheduler. The
// blocks of the windowed layers are freed, overwritten by other sequences, and nobody's tokens change.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "coordinator/scheduler/scheduler.h"
#include "tests/worker/fixture.h"
#include "tests/worker/mixed_family.h"
#include "tests/worker/model/weights/safetensors_file.h"
#include "tests/worker/replica.h"

namespace caudal {
namespace {

// The first layer of the fixture sees everything, the others see 16 tokens.
void write_hybrid_model(const TemporaryDir& dir) {
  const Fixture fixture = load_fixture("qwen2");
  std::ostringstream text;
  text << std::ifstream(fixture.model_dir / "config.json").rdbuf();
  std::string config = text.str();
  for (const auto& [was, is] : {std::pair("\"use_sliding_window\": false", "\"use_sliding_window\": true"),
                                std::pair("\"sliding_window\": 32", "\"sliding_window\": 16"),
                                std::pair("\"max_window_layers\": 2", "\"max_window_layers\": 1")})
    config = std::regex_replace(config, std::regex(was), is);
  dir.write("config.json", config);
  std::filesystem::copy_file(fixture.model_dir / "model.safetensors", dir.path() / "model.safetensors");
}

struct Served {
  std::vector<std::vector<TokenId>> tokens;  // by request
  std::int32_t most_blocks = 0;
};

RunnerOptions limited(RunnerOptions options) {
  options.dtype = DTypeChoice::kF32;
  options.max_num_sequences = 4;
  options.max_tokens_per_step = 128;
  options.max_context_tokens = 256;
  options.kv.num_blocks = 256;
  return options;
}

// `frees`: the coordinator knows the windows.
Served serve(const std::filesystem::path& model_dir, const RunnerOptions& options, bool frees,
             std::int32_t num_blocks) {
  TestReplica replica(model_dir, 1, limited(options));
  if (!replica.valid()) return {};
  ReplicaInfo info = replica.info();
  EXPECT_GT(info.num_kv_groups(), 1);
  EXPECT_EQ(info.kv_windows.front(), 0);
  EXPECT_GT(info.kv_windows.back(), 0);
  if (!frees) info.kv_windows.assign(info.kv_windows.size(), 0);
  info.num_blocks = num_blocks;

  Scheduler scheduler(SchedulerConfig{});
  scheduler.replica_joined(1, 1, info, 0);
  Served served;
  for (RequestId id = 1; id <= 3; ++id) {
    Request request;
    request.id = id;
    for (TokenId i = 0; i < 190; ++i) request.prompt.push_back((static_cast<TokenId>(id) * 31 + i * i) % 101);
    request.params.sampling.temperature = 0.0F;
    request.params.stop.max_tokens = 60;
    served.tokens.emplace_back();
    EXPECT_EQ(scheduler.submit(std::move(request), 0), RejectReason::kNone);
  }
  while (const auto plan = scheduler.plan(1, 0)) {
    EXPECT_TRUE(scheduler.apply(1, replica.run(*plan), 0));
    scheduler.check_integrity();
    served.most_blocks = std::max(served.most_blocks, scheduler.replica_stats(1).num_used_blocks);
    for (const TokenEvent& event : scheduler.take_events()) {
      std::vector<TokenId>& tokens = served.tokens[event.request_id - 1];
      tokens.insert(tokens.end(), event.tokens.begin(), event.tokens.end());
    }
  }
  return served;
}

void expect_freed_blocks_not_to_count(const std::filesystem::path& model_dir, const RunnerOptions& options) {
  const Served kept = serve(model_dir, options, false, 256);
  const Served freed = serve(model_dir, options, true, 256);
  ASSERT_EQ(kept.tokens.size(), 3U);
  for (const std::vector<TokenId>& tokens : kept.tokens) EXPECT_EQ(tokens.size(), 60U);
  EXPECT_EQ(freed.tokens, kept.tokens);
  EXPECT_LT(freed.most_blocks, kept.most_blocks);
  // In a pool that all of them together have to share, freed blocks are taken by others at once.
  EXPECT_EQ(serve(model_dir, options, true, freed.most_blocks).tokens, kept.tokens);
}

TEST(KvGroups, FreedBlocksOfWindowedLayersMayHoldAnything) {
  const TemporaryDir dir;
  write_hybrid_model(dir);
  expect_freed_blocks_not_to_count(dir.path(), {});
}

// Groups of different sizes take their blocks from one pool.
TEST(KvGroups, FreedBlocksMayGoToLayersOfOtherSizes) {
  for (const MixedModel& model : mixed_models()) {
    SCOPED_TRACE(model.name);
    const TemporaryDir dir;
    model.write_config(dir);
    if (model.has_one_table) continue;
    expect_freed_blocks_not_to_count(dir.path(), mixed_options());
  }
}

}  // namespace
}  // namespace caudal
