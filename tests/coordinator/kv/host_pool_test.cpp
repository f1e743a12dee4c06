// Host blocks and their copies: who has which, what is due, who gives way; and when copying pays.
#include "coordinator/kv/host_pool.h"

#include <gtest/gtest.h>

#include "coordinator/kv/swap_cost.h"

namespace caudal {
namespace {

class HostPoolTest : public testing::Test {
 protected:
  void TearDown() override { pool_.check_integrity(); }

  static BlockTable table(std::vector<BlockId> blocks, std::int32_t num_dropped = 0) {
    for (std::int32_t i = 0; i < num_dropped; ++i) blocks[static_cast<std::size_t>(i)] = kNoBlock;
    return {.blocks = std::move(blocks), .num_passed = 16 * num_dropped};
  }
  using Pairs = std::vector<std::pair<int, int>>;
  static Pairs pairs(const auto& copies) {
    Pairs all;
    for (const auto& copy : copies) all.emplace_back(copy.source.value(), copy.destination.value());
    return all;
  }

  HostCopy first_, second_, third_, large_;  // outlive the pool's check
  HostPool pool_{1, 6, 1};
};

TEST_F(HostPoolTest, ABlockGoesOutOnceAndComesBack) {
  ASSERT_TRUE(pool_.store(table({7, 3, 9, 4}), 40, first_));
  EXPECT_EQ(first_.num_tokens, 40);
  EXPECT_EQ(pool_.num_free(), 3) << "the fourth block holds none of them";
  EXPECT_EQ(pairs(pool_.take_due()), (Pairs{{7, 0}, {3, 1}, {9, 2}}));
  EXPECT_TRUE(pool_.take_due().empty());
  EXPECT_EQ(pairs(pool_.restore(first_, table({5, 6, 8, 1}), 1)), (Pairs{{1, 6}, {2, 8}})) << "one block was found";
  EXPECT_FALSE(first_.exists());
  EXPECT_EQ(pool_.num_free(), 6);
}

TEST_F(HostPoolTest, NothingIsKeptOfBlocksOutOfTheWindow) {
  ASSERT_TRUE(pool_.store(table({0, 1, 2, 3}, 2), 64, first_));
  EXPECT_EQ(pool_.num_free(), 4);
  EXPECT_EQ(pairs(pool_.take_due()), (Pairs{{2, 0}, {3, 1}}));
  EXPECT_EQ(pairs(pool_.restore(first_, table({4, 5, 6, 7}), 0)), (Pairs{{0, 6}, {1, 7}}));
}

TEST_F(HostPoolTest, TheOldestGivesWay) {
  ASSERT_TRUE(pool_.store(table({0, 1}), 32, first_));
  ASSERT_TRUE(pool_.store(table({2, 3}), 32, second_));
  ASSERT_TRUE(pool_.store(table({4, 5, 6}), 48, third_));
  EXPECT_FALSE(first_.exists());
  EXPECT_TRUE(second_.exists());
  EXPECT_EQ(pairs(pool_.take_due()), (Pairs{{2, 2}, {3, 3}, {4, 0}, {5, 1}, {6, 4}}))
      << "the first is not copied any more";
  EXPECT_FALSE(pool_.store(table({0, 1, 2, 3, 4, 5, 6}), 100, large_)) << "more than the pool";
  EXPECT_TRUE(second_.exists() && third_.exists());
}

TEST_F(HostPoolTest, ADroppedCopyLeavesNothingToDo) {
  ASSERT_TRUE(pool_.store(table({0, 1}), 32, first_));
  ASSERT_TRUE(pool_.store(table({2, 3}), 17, second_));
  pool_.drop(first_);
  EXPECT_EQ(pairs(pool_.take_due()), (Pairs{{2, 2}, {3, 3}}));
  pool_.drop_all();
  EXPECT_FALSE(second_.exists());
  EXPECT_EQ(pool_.num_free(), 6);
}

TEST(SwapCost, CopiesOnlyWhenThatIsKnownToBeCheaper) {
  const SwapCost known{.num_blocks = 4, .num_lost_tokens = 60, .block_ns = 1000, .prompt_token_ns = 67};
  EXPECT_TRUE(known.swap_is_cheaper()) << "4,000 against 4,020 ns";
  SwapCost cost = known;
  cost.prompt_token_ns = 66;
  EXPECT_FALSE(cost.swap_is_cheaper());
  cost = known;
  cost.num_lost_tokens = 44;  // the others are in blocks that somebody else holds
  EXPECT_FALSE(cost.swap_is_cheaper());
  cost = known;
  cost.block_ns = 0;
  EXPECT_FALSE(cost.swap_is_cheaper()) << "not measured";
  cost = known;
  cost.prompt_token_ns = 0;
  EXPECT_FALSE(cost.swap_is_cheaper()) << "not measured";
  cost = {
      .num_blocks = 1 << 30, .num_lost_tokens = 1 << 30, .block_ns = 1'000'000'000, .prompt_token_ns = 1'000'000'001};
  EXPECT_TRUE(cost.swap_is_cheaper()) << "no overflow";
}

}  // namespace
}  // namespace caudal
