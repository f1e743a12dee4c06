#include "coordinator/kv/block_pool.h"

#include <gtest/gtest.h>

namespace caudal {
namespace {

using Pool = BlockPool<Tier::kDevice>;

BlockContent content(BlockHash parent, BlockHash hash, TokenId first) {
  std::array<TokenId, kBlockSize> tokens{};
  tokens[0] = first;
  return {parent, hash, tokens};
}

TEST(BlockPool, HandsOutEveryBlockOnce) {
  BlockIndex index;
  Pool pool(index, 1, 3);
  EXPECT_EQ(pool.allocate(), BlockId(0));
  EXPECT_EQ(pool.allocate(), BlockId(1));
  EXPECT_EQ(pool.allocate(), BlockId(2));
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_DEATH(pool.allocate(), "num_free");
  pool.check_integrity();
}

TEST(BlockPool, ABlockIsFreeWhenItsLastHolderLeaves) {
  BlockIndex index;
  Pool pool(index, 1, 2);
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
  Pool pool(index, 1, 2);
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
  Pool pool(index, 1, 2);
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
  Pool pool(index, 1, 2);
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
  Pool pool(index, 1, 4);
  for (const BlockId i : pool.ids()) {
    ASSERT_EQ(pool.allocate(), i);
    if (i != 3) pool.publish(i, content(0, i.index(), i.value()));
  }
  for (const BlockId block : std::initializer_list<BlockId>{1, 0, 3, 2}) pool.release(block);
  EXPECT_EQ(pool.allocate(), BlockId(3));
  EXPECT_EQ(pool.allocate(), BlockId(1));
  EXPECT_FALSE(pool.lookup(content(0, 1, 1))) << "its content is about to be overwritten";
  EXPECT_EQ(pool.lookup(content(0, 0, 0)), BlockId(0));
  pool.retain(0);  // used again: now the last to go
  pool.release(0);
  EXPECT_EQ(pool.allocate(), BlockId(2));
  EXPECT_EQ(pool.allocate(), BlockId(0));
  pool.check_integrity();
}

TEST(BlockPool, NothingOfALostPoolIsFound) {
  BlockIndex index;
  Pool pool(index, 1, 2);
  {
    Pool other(index, 2, 2);
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
  Pool pool(index, 1, 0);
  EXPECT_EQ(pool.num_free(), 0);
  EXPECT_FALSE(pool.lookup(content(0, 0, 0)));
  pool.check_integrity();
}

}  // namespace
}  // namespace caudal
