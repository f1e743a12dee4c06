#include "coordinator/kv/block_pool.h"

#include <gtest/gtest.h>

namespace caudal {
namespace {

std::array<TokenId, kBlockSize> content(TokenId first) {
  std::array<TokenId, kBlockSize> tokens{};
  tokens[0] = first;
  return tokens;
}

TEST(BlockPool, HandsOutEveryBlockOnce) {
  BlockPool pool(3);
  EXPECT_EQ(pool.allocate(), 0);
  EXPECT_EQ(pool.allocate(), 1);
  EXPECT_EQ(pool.allocate(), 2);
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_DEATH(pool.allocate(), "num_free");
  pool.check_integrity();
}

TEST(BlockPool, ABlockIsFreeWhenItsLastHolderLeaves) {
  BlockPool pool(2);
  const BlockId block = pool.allocate();
  pool.retain(block);
  pool.release(block);
  EXPECT_EQ(pool.num_free(), 1);
  pool.release(block);
  EXPECT_EQ(pool.num_free(), 2);
  EXPECT_DEATH(pool.release(block), "num_references");
  pool.check_integrity();
}

TEST(BlockPool, PublishedBlocksSurviveTheirRelease) {
  BlockPool pool(2);
  const BlockId block = pool.allocate();
  pool.publish(block, 1, 99, content(5));
  pool.release(block);
  EXPECT_EQ(pool.num_cached(), 1);
  EXPECT_EQ(pool.lookup(1, 99, content(5)), block);
  pool.retain(block);
  EXPECT_EQ(pool.num_free(), 1);
  EXPECT_EQ(pool.num_cached(), 0);
  pool.check_integrity();
}

TEST(BlockPool, AHashIsNotEnough) {
  BlockPool pool(2);
  const BlockId block = pool.allocate();
  pool.publish(block, 1, 99, content(5));
  EXPECT_FALSE(pool.lookup(1, 99, content(6)));
  EXPECT_FALSE(pool.lookup(2, 99, content(5)));
  // Two contents under one hash live side by side.
  const BlockId other = pool.allocate();
  pool.publish(other, 1, 99, content(6));
  EXPECT_EQ(pool.lookup(1, 99, content(5)), block);
  EXPECT_EQ(pool.lookup(1, 99, content(6)), other);
  pool.check_integrity();
}

TEST(BlockPool, TheFirstOfEqualContentsStays) {
  BlockPool pool(2);
  const BlockId first = pool.allocate();
  const BlockId second = pool.allocate();
  pool.publish(first, 1, 99, content(5));
  pool.publish(second, 1, 99, content(5));
  EXPECT_EQ(pool.lookup(1, 99, content(5)), first);
  pool.release(second);
  EXPECT_EQ(pool.num_cached(), 0);
  pool.check_integrity();
}

TEST(BlockPool, TakesPlainBlocksThenTheLongestUnusedPublishedOnes) {
  BlockPool pool(4);
  for (BlockId i = 0; i < 4; ++i) {
    ASSERT_EQ(pool.allocate(), i);
    if (i != 3) pool.publish(i, 0, i, content(i));
  }
  for (const BlockId block : {1, 0, 3, 2}) pool.release(block);
  EXPECT_EQ(pool.allocate(), 3);
  EXPECT_EQ(pool.allocate(), 1);
  EXPECT_FALSE(pool.lookup(0, 1, content(1))) << "its content is about to be overwritten";
  EXPECT_EQ(pool.lookup(0, 0, content(0)), 0);
  pool.retain(0);  // used again: now the last to go
  pool.release(0);
  EXPECT_EQ(pool.allocate(), 2);
  EXPECT_EQ(pool.allocate(), 0);
  pool.check_integrity();
}

TEST(BlockPool, MayBeEmpty) {
  BlockPool pool(0);
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_FALSE(pool.lookup(0, 0, content(0)));
  pool.check_integrity();
}

}  // namespace
}  // namespace caudal
