// Who holds the beginning of a prefix, and that the answer does not take longer with more replicas.
#include "coordinator/kv/block_index.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

namespace caudal {
namespace {

class BlockIndexTest : public testing::Test {
 protected:
  BlockIndexTest() : tokens_(16 * 6 + 1) { std::iota(tokens_.begin(), tokens_.end(), 0); }
  void TearDown() override { index_.check_integrity(); }

  Prefix prefix(BlockHash root = 7) { return hashes_.of(HashKey{1, 2}, root, tokens_); }

  // As a replica does that has computed the first `num_blocks` blocks.
  void hold(ReplicaId replica, std::int32_t num_blocks, Tier tier = Tier::kDevice) {
    for (std::int32_t block = 0; block < num_blocks; ++block) {
      index_.insert(prefix().content(block), {{replica, tier}, static_cast<std::int32_t>(10 * replica) + block});
    }
  }
  std::vector<std::pair<ReplicaId, std::int32_t>> holders(std::size_t max_holders, std::uint64_t turn = 0) {
    std::vector<std::pair<ReplicaId, std::int32_t>> all;
    for (const PrefixHolder& holder : index_.find_holders(prefix(), max_holders, turn))
      all.emplace_back(holder.replica, holder.num_blocks);
    return all;
  }
  using Holders = std::vector<std::pair<ReplicaId, std::int32_t>>;

  BlockIndex index_;
  std::vector<TokenId> tokens_;
  PrefixHashes hashes_;
};

TEST_F(BlockIndexTest, FindsABlockOfAPoolByItsContent) {
  hold(1, 2);
  hold(2, 1);
  EXPECT_EQ(index_.find(prefix().content(0), {1, Tier::kDevice}), 10);
  EXPECT_EQ(index_.find(prefix().content(1), {1, Tier::kDevice}), 11);
  EXPECT_EQ(index_.find(prefix().content(0), {2, Tier::kDevice}), 20);
  EXPECT_FALSE(index_.find(prefix().content(1), {2, Tier::kDevice}));
  EXPECT_FALSE(index_.find(prefix().content(0), {1, Tier::kHost}));
  BlockContent other = prefix().content(0);
  ++other.tokens[3];
  EXPECT_FALSE(index_.find(other, {1, Tier::kDevice})) << "a hash is not enough";
  EXPECT_FALSE(index_.find(prefix(8).content(0), {1, Tier::kDevice})) << "another salt";
}

TEST_F(BlockIndexTest, TheFirstBlockOfAPoolWithAContentStays) {
  const BlockContent content = prefix().content(0);
  BlockIndex::Entry* entry = index_.insert(content, {{1, Tier::kDevice}, 3});
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(index_.insert(content, {{1, Tier::kDevice}, 4}), nullptr);
  EXPECT_EQ(index_.insert(content, {{1, Tier::kHost}, 5}), entry);
  EXPECT_EQ(index_.find(content, {1, Tier::kDevice}), 3);
  index_.erase(*entry, {1, Tier::kDevice});
  EXPECT_FALSE(index_.find(content, {1, Tier::kDevice}));
  EXPECT_EQ(index_.find(content, {1, Tier::kHost}), 5);
  index_.erase(*entry, {1, Tier::kHost});
  EXPECT_EQ(index_.num_locations(), 0U);
}

TEST_F(BlockIndexTest, TheLongestPrefixComesFirst) {
  EXPECT_TRUE(holders(4).empty());
  hold(3, 2);
  hold(1, 5);
  hold(2, 1);
  hold(4, 5);
  EXPECT_EQ(holders(4), (Holders{{1, 5}, {4, 5}, {3, 2}, {2, 1}}));
  EXPECT_EQ(holders(3), (Holders{{1, 5}, {4, 5}, {3, 2}}));
  EXPECT_EQ(holders(1), (Holders{{1, 5}}));
  EXPECT_EQ(holders(1, 1), (Holders{{4, 5}})) << "another turn";
  EXPECT_TRUE(holders(0).empty());
}

TEST_F(BlockIndexTest, AReplicaIsNamedOnceWhateverItsTiers) {
  hold(1, 3);
  hold(1, 5, Tier::kHost);
  EXPECT_EQ(holders(4), (Holders{{1, 5}}));
}

TEST_F(BlockIndexTest, TheLastTokenIsNeverFound) {
  tokens_.resize(16 * 5);
  hold(1, 5);
  EXPECT_EQ(holders(4), (Holders{{1, 4}}));
}

TEST_F(BlockIndexTest, TurnsSpreadOverAllThatHoldThePrefix) {
  for (ReplicaId replica = 0; replica < 500; ++replica) hold(replica, 3);
  std::set<ReplicaId> named;
  for (std::uint64_t turn = 0; turn < 500; ++turn) {
    const Holders found = holders(2, turn);
    ASSERT_EQ(found.size(), 2U);
    for (const auto& [replica, num_blocks] : found) {
      EXPECT_EQ(num_blocks, 3);
      named.insert(replica);
    }
  }
  EXPECT_EQ(named.size(), 500U);
}

}  // namespace
}  // namespace caudal
