// The worked example of worker/batch/batch.h, and the memory plan of worker/cache/memory_plan.h.
#include "worker/batch/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/factory/make_backend.h"
#include "worker/batch/sequence_table.h"
#include "worker/cache/memory_plan.h"

namespace caudal {
namespace {

using testing::ElementsAre;

SequenceRow sequence_of(std::int32_t num_tokens, std::int32_t num_computed, TokenId first,
                        std::vector<BlockId> blocks) {
  SequenceRow sequence;
  for (std::int32_t i = 0; i < num_tokens; ++i) sequence.tokens.push_back(first + i);
  sequence.num_computed = num_computed;
  sequence.blocks = std::move(blocks);
  return sequence;
}

TEST(Batch, WorkedExample) {
  const SequenceRow a = sequence_of(9, 0, 100, {7}), b = sequence_of(18, 17, 200, {3, 9}),
                    c = sequence_of(33, 32, 300, {4, 6, 1});
  const Batch batch = make_batch({{&a, 0, 5, 0}, {&b, 17, 1}, {&c, 32, 1}});
  EXPECT_THAT(batch.token_ids, ElementsAre(100, 101, 102, 103, 104, 217, 332));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 3, 4, 17, 32));
  EXPECT_THAT(batch.kv.at(0).cache_slot, ElementsAre(112, 113, 114, 115, 116, 145, 16));
  EXPECT_THAT(batch.query_start, ElementsAre(0, 5, 6, 7));
  EXPECT_THAT(batch.context_length, ElementsAre(5, 18, 33));
  EXPECT_THAT(batch.kv.at(0).block_table, ElementsAre(7, 0, 0, 3, 9, 0, 4, 6, 1));
  EXPECT_THAT(batch.logit_rows, ElementsAre(5, 6));
}

TEST(Batch, DraftsFollowTheKnownTokens) {
  const SequenceRow b = sequence_of(18, 17, 200, {3, 9});
  const std::vector<TokenId> drafts = {7, 8};
  const Batch batch = make_batch({{&b, 17, 3, 3, drafts}});
  EXPECT_THAT(batch.token_ids, ElementsAre(217, 7, 8));
  EXPECT_THAT(batch.positions, ElementsAre(17, 18, 19));
  EXPECT_THAT(batch.kv.at(0).cache_slot, ElementsAre(145, 146, 147));
  EXPECT_THAT(batch.context_length, ElementsAre(20));
  EXPECT_THAT(batch.logit_rows, ElementsAre(0, 1, 2));
}

TEST(Batch, TokensInFlightFollowTheKnownOnesAndNameTheirStep) {
  SequenceRow b = sequence_of(17, 17, 200, {3, 9}), c = sequence_of(32, 32, 300, {4, 6, 1});
  EXPECT_FALSE(make_batch({{&c, 31, 1}}).samples_of.has_value());
  b.in_flight = {{.step = 5, .row = 2}};
  c.in_flight = {{.step = 5, .row = 0}};
  const std::vector<TokenId> drafts = {7};
  const Batch batch = make_batch({{&b, 17, 2, 2, drafts}, {&c, 31, 2}});
  EXPECT_THAT(batch.token_ids, ElementsAre(-3, 7, 331, -1));
  EXPECT_THAT(batch.positions, ElementsAre(17, 18, 31, 32));
  EXPECT_EQ(batch.samples_of, 5U);
  c.in_flight.front().step = 6;
  EXPECT_DEATH(make_batch({{&b, 17, 1}, {&c, 32, 1}}), "samples of two steps");
}

TEST(Batch, AllRowsAndReservedBlocks) {
  const SequenceRow a = sequence_of(4, 1, 0, {2, 5, 8});  // blocks past the context are not shown
  const Batch batch = make_batch({{&a, 1, 3, 3}});
  EXPECT_THAT(batch.logit_rows, ElementsAre(0, 1, 2));
  EXPECT_THAT(batch.kv.at(0).block_table, ElementsAre(2));
}

TEST(Batch, EachKvGroupHasItsOwnBlocks) {
  const SequenceRow b = sequence_of(18, 16, 200, {3, 5, 9, 1}), c = sequence_of(2, 1, 300, {4, 6});
  const std::vector<std::int32_t> rows_per_block = {1, 1};
  const Batch batch = make_batch({{&b, 16, 2}, {&c, 1, 1}}, rows_per_block);
  ASSERT_EQ(batch.kv.size(), 2U);
  EXPECT_THAT(batch.kv[0].cache_slot, ElementsAre(144, 145, 65));
  EXPECT_THAT(batch.kv[1].cache_slot, ElementsAre(16, 17, 97));
  EXPECT_THAT(batch.kv[0].block_table, ElementsAre(3, 9, 4, 0));
  EXPECT_THAT(batch.kv[1].block_table, ElementsAre(5, 1, 6, 0));

  const std::unique_ptr<Backend> backend = std::move(make_backend({.num_threads = 1, .max_isa = ""})).value();
  const auto uploader = std::move(BatchUploader::create(*backend, 3, 2, 2, 2)).value();
  const DeviceBatch device = uploader->upload(batch);
  ASSERT_EQ(device.kv.size(), 2U);
  for (std::size_t group = 0; group < 2; ++group) {
    std::vector<std::int32_t> table(4), slots(3);
    backend->copy_to_host(device.kv[group].attention.block_table, table.data());
    backend->copy_to_host(device.kv[group].cache_slot, slots.data());
    EXPECT_EQ(table, batch.kv[group].block_table);
    EXPECT_EQ(slots, batch.kv[group].cache_slot);
  }
}

// Three layers of the second group share an array, so its blocks lie three rows apart.
TEST(Batch, BlocksCountForTheRowsOfTheirGroup) {
  const SequenceRow b = sequence_of(18, 16, 200, {3, 5, 9, 1}), c = sequence_of(2, 1, 300, {4, 6});
  const std::vector<std::int32_t> rows_per_block = {1, 3};
  const Batch batch = make_batch({{&b, 16, 2}, {&c, 1, 1}}, rows_per_block);
  EXPECT_THAT(batch.kv.at(0).cache_slot, ElementsAre(144, 145, 65));
  EXPECT_THAT(batch.kv.at(1).cache_slot, ElementsAre(48, 49, 289));
  EXPECT_THAT(batch.kv.at(0).block_table, ElementsAre(3, 9, 4, 0));
  EXPECT_THAT(batch.kv.at(1).block_table, ElementsAre(15, 3, 18, 0));
}

TEST(Batch, UploadHoldsTheLargest) {
  const std::unique_ptr<Backend> backend = std::move(make_backend({.num_threads = 1, .max_isa = ""})).value();
  const auto uploader = std::move(BatchUploader::create(*backend, 5, 2, 3)).value();
  const SequenceRow a = sequence_of(40, 36, 0, {2, 5, 8}), b = sequence_of(33, 32, 0, {1, 3, 4});
  const Batch batch = make_batch({{&a, 36, 4, 4}, {&b, 32, 1, 1}});
  const DeviceBatch device = uploader->upload(batch);
  std::vector<std::int32_t> table(6);
  backend->copy_to_host(device.kv.at(0).attention.block_table, table.data());
  EXPECT_THAT(table, ElementsAre(2, 5, 8, 1, 3, 4));
  EXPECT_EQ(device.logit_rows.dim(0), 5);
}

constexpr MemoryNeeds kNeeds{
    .weights_bytes = 1000, .workspace_bytes = 500, .block_bytes = 100, .most_useful_blocks = 50};

TEST(MemoryPlan, NeverExceedsItsShare) {
  for (std::size_t free : {std::size_t{4000}, std::size_t{4199}, std::size_t{5000}, std::size_t{1000000}}) {
    for (int ranks : {1, 2}) {
      const Result<MemoryPlan> plan = plan_memory(kNeeds, {.memory_fraction = 0.8, .ranks_on_device = ranks}, free);
      const auto share = static_cast<std::size_t>(static_cast<double>(free / static_cast<std::size_t>(ranks)) * 0.8);
      if (!plan) {
        EXPECT_LT(share, 1600U);
        continue;
      }
      EXPECT_LE(plan.value().total_bytes(), share);
      EXPECT_LE(plan.value().num_blocks, 50);
      EXPECT_TRUE(plan.value().num_blocks == 50 || share - plan.value().total_bytes() < 100);
    }
  }
}

TEST(MemoryPlan, ExplicitBlocksAndBytes) {
  EXPECT_EQ(plan_memory(kNeeds, {.num_blocks = 77}, 10000).value().num_blocks, 77);
  EXPECT_EQ(plan_memory(kNeeds, {.kv_cache_bytes = 1050}, 10000).value().num_blocks, 10);
  EXPECT_EQ(plan_memory(kNeeds, {.num_blocks = 86}, 10000).error().field, "num-blocks");
  EXPECT_EQ(plan_memory(kNeeds, {.kv_cache_bytes = 99}, 10000).error().field, "kv-cache-bytes");
  EXPECT_EQ(plan_memory(kNeeds, {.num_blocks = 1, .kv_cache_bytes = 100}, 10000).error().field, "num-blocks");
  EXPECT_EQ(plan_memory(kNeeds, {.memory_fraction = 0.1}, 10000).error().field, "memory-fraction");
  EXPECT_EQ(plan_memory(kNeeds, {.memory_fraction = 0.0}, 10000).error().field, "memory-fraction");
}

}  // namespace
}  // namespace caudal
