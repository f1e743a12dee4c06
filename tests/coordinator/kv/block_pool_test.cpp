#include "coordinator/kv/block_pool.h"

#include <gtest/gtest.h>

namespace caudal {
namespace {

constexpr PoolId kPool{1, Tier::kDevice};

BlockContent content(BlockHash parent, BlockHash hash, TokenId first) {
  std::array<TokenId, kBlockSize> tokens{};
  tokens[0] = first;
  return {parent, hash, tokens};
}

TEST(BlockPool, HandsOutEveryBlockOnce) {
  BlockIndex index;
  BlockPool pool(index, kPool, 3);
  EXPECT_EQ(pool.allocate(), 0);
  EXPECT_EQ(pool.allocate(), 1);
  EXPECT_EQ(pool.allocate(), 2);
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_DEATH(pool.allocate(), "num_free");
  pool.check_integrity();
}

TEST(BlockPool, ABlockIsFreeWhenItsLastHolderLeaves) {
  BlockIndex index;
  BlockPool pool(index, kPool, 2);
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
  BlockIndex index;
  BlockPool pool(index, kPool, 2);
  const BlockId block = pool.allocate();
  pool.publish(block, content(1, 99, 5));
  pool.release(block);
  EXPECT_EQ(pool.num_cached(), 1);
  EXPECT_EQ(pool.lookup(content(1, 99, 5)), block);
  pool.retain(block);
  EXPECT_EQ(pool.num_free(), 1);
  EXPECT_EQ(pool.num_cached(), 0);
  pool.check_integrity();
}

TEST(BlockPool, AHashIsNotEnough) {
  BlockIndex index;
  BlockPool pool(index, kPool, 2);
  const BlockId block = pool.allocate();
  pool.publish(block, content(1, 99, 5));
  EXPECT_FALSE(pool.lookup(content(1, 99, 6)));
  EXPECT_FALSE(pool.lookup(content(2, 99, 5)));
  // Two contents under one hash live side by side.
  const BlockId other = pool.allocate();
  pool.publish(other, content(1, 99, 6));
  EXPECT_EQ(pool.lookup(content(1, 99, 5)), block);
  EXPECT_EQ(pool.lookup(content(1, 99, 6)), other);
  pool.check_integrity();
}

TEST(BlockPool, TheFirstOfEqualContentsStays) {
  BlockIndex index;
  BlockPool pool(index, kPool, 2);
  const BlockId first = pool.allocate();
  const BlockId second = pool.allocate();
  pool.publish(first, content(1, 99, 5));
  pool.publish(second, content(1, 99, 5));
  EXPECT_EQ(pool.lookup(content(1, 99, 5)), first);
  pool.release(second);
  EXPECT_EQ(pool.num_cached(), 0);
  pool.check_integrity();
}

TEST(BlockPool, TakesPlainBlocksThenTheLongestUnusedPublishedOnes) {
  BlockIndex index;
  BlockPool pool(index, kPool, 4);
  for (BlockId i = 0; i < 4; ++i) {
    ASSERT_EQ(pool.allocate(), i);
    if (i != 3) pool.publish(i, content(0, static_cast<BlockHash>(i), i));
  }
  for (const BlockId block : {1, 0, 3, 2}) pool.release(block);
  EXPECT_EQ(pool.allocate(), 3);
  EXPECT_EQ(pool.allocate(), 1);
  EXPECT_FALSE(pool.lookup(content(0, 1, 1))) << "its content is about to be overwritten";
  EXPECT_EQ(pool.lookup(content(0, 0, 0)), 0);
  pool.retain(0);  // used again: now the last to go
  pool.release(0);
  EXPECT_EQ(pool.allocate(), 2);
  EXPECT_EQ(pool.allocate(), 0);
  pool.check_integrity();
}

TEST(BlockPool, NothingOfALostPoolIsFound) {
  BlockIndex index;
  BlockPool pool(index, kPool, 2);
  {
    BlockPool other(index, {2, Tier::kDevice}, 2);
    other.publish(other.allocate(), content(1, 99, 5));
    const BlockId block = pool.allocate();
    pool.publish(block, content(1, 99, 5));
    pool.release(block);
    pool.publish(pool.allocate(), content(1, 98, 6));
    EXPECT_EQ(index.num_locations(), 3U);
    pool.unpublish_all();
    EXPECT_FALSE(pool.lookup(content(1, 99, 5)));
    EXPECT_FALSE(pool.lookup(content(1, 98, 6)));
    EXPECT_EQ(pool.num_cached(), 0);
    EXPECT_TRUE(other.lookup(content(1, 99, 5)));
    pool.check_integrity();
  }
  EXPECT_EQ(index.num_locations(), 0U) << "a pool that ends takes its blocks along";
}

TEST(BlockPool, MayBeEmpty) {
  BlockIndex index;
  BlockPool pool(index, kPool, 0);
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_FALSE(pool.lookup(content(0, 0, 0)));
  pool.check_integrity();
}

}  // namespace
}  // namespace caudal
