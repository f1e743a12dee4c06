// Admission: does it fit.
#include "coordinator/scheduler/admission.h"

#include <gtest/gtest.h>

#include "coordinator/policy/scheduler_config.h"

namespace caudal {
namespace {

ReplicaInfo replica_of(std::int32_t num_blocks = 100) {
  return {.num_blocks = num_blocks,
          .max_num_sequences = 8,
          .max_tokens_per_step = 64,
          .max_context_tokens = 256,
          .model_digest = {}};
}

Demand demand(std::int32_t num_prompt, std::int32_t max_new = 16) { return {num_prompt, max_new, num_prompt, {}}; }

TEST(Admission, KnowsWhatCanNeverFit) {
  EXPECT_TRUE(can_ever_fit(replica_of(3), demand(32, 16)));
  EXPECT_FALSE(can_ever_fit(replica_of(3), demand(32, 17)));
  EXPECT_TRUE(can_ever_fit(replica_of(), demand(255)));
  EXPECT_FALSE(can_ever_fit(replica_of(), demand(256))) << "no room for a single new token";
  EXPECT_EQ(token_limit(replica_of(), demand(200, 1 << 30)), 256);
  EXPECT_EQ(token_limit(replica_of(), demand(200, 1)), 201);
}

TEST(Admission, TakesWholeSequencesWhileEverythingLasts) {
  const SchedulerConfig config;
  const ReplicaInfo small = replica_of(5);
  const ReplicaInfo large = replica_of();
  Admission blocks(config, small, {.num_running = 1, .num_free_blocks = 4, .num_tokens_left = 64});
  EXPECT_FALSE(blocks.admits(demand(64))) << "a block stays for the running one";
  ASSERT_TRUE(blocks.admits(demand(17)));
  blocks.take(demand(17));
  EXPECT_EQ(blocks.num_tokens(), 47);
  EXPECT_FALSE(blocks.admits(demand(1))) << "two free blocks, two running sequences";

  const Admission no_slot(config, large, {.num_running = 8, .num_free_blocks = 99, .num_tokens_left = 64});
  EXPECT_FALSE(no_slot.admits(demand(1)));
  const Admission no_tokens(config, large, {.num_running = 1, .num_free_blocks = 99, .num_tokens_left = 0});
  EXPECT_FALSE(no_tokens.admits(demand(1)));
}

TEST(Admission, CutsPromptsOnlyWhenItMay) {
  SchedulerConfig config;
  const ReplicaInfo info = replica_of();
  const Occupancy occupancy{.num_running = 0, .num_free_blocks = 99, .num_tokens_left = 40};
  EXPECT_EQ(Admission(config, info, occupancy).chunk(50), 40);
  config.chunked_prefill = false;
  EXPECT_EQ(Admission(config, info, occupancy).chunk(50), 0);
  EXPECT_EQ(Admission(config, info, occupancy).chunk(40), 40);
  EXPECT_EQ(Admission(config, info, occupancy).chunk(65), 40) << "no step could hold it whole";
}

TEST(Admission, CachedBlocksCostOnlyWhatNobodyHoldsYet) {
  const SchedulerConfig config;
  const ReplicaInfo info = replica_of();
  const Admission left(config, info, {.num_running = 0, .num_free_blocks = 2, .num_tokens_left = 64});
  Demand wanted = demand(64);
  EXPECT_FALSE(left.admits(wanted));
  wanted.cached = {.num_tokens = 48, .num_blocks = 3, .num_free = 2};
  EXPECT_EQ(wanted.num_uncached(), 16);
  EXPECT_FALSE(left.admits(wanted)) << "one new block, and two cached ones that are among the free ones";
  wanted.cached.num_free = 1;
  EXPECT_TRUE(left.admits(wanted));
}

}  // namespace
}  // namespace caudal
