// Blocks on their way between device and host memory: who holds them, and when they are found.
#include "coordinator/kv/transfers.h"

#include <gtest/gtest.h>

#include <numeric>

#include "coordinator/kv/kv_manager.h"
#include "coordinator/kv/transfer_cost.h"

namespace caudal {
namespace {

class TransfersTest : public testing::Test {
 protected:
  static constexpr std::int32_t kNumBlocks = 6, kNumHostBlocks = 4;

  TransfersTest() : text_(64) { std::iota(text_.begin(), text_.end(), 0); }
  void TearDown() override {
    EXPECT_EQ(kv_.pool().check_integrity() + kv_.host().check_integrity(), index_.num_locations());
    IndexedVector<BlockId, std::int32_t> device(kNumBlocks);
    IndexedVector<HostBlockId, std::int32_t> host(kNumHostBlocks);
    kv_.transfers().count_references(device, host);
    for (const HostBlockId block : host.ids()) EXPECT_EQ(kv_.host().num_references(block), host[block]);
  }

  Prefix prefix(std::size_t num_tokens, BlockHash root = 7) {
    return hashes_.of(HashKey{1, 2}, root, std::span(text_).first(num_tokens));
  }
  // A sequence with so many computed tokens, and one more.
  BlockTable computed(std::int32_t num_tokens) {
    BlockTable table;
    EXPECT_TRUE(kv_.grow(table, num_tokens + 1));
    return table;
  }
  // The sequence leaves, and its full blocks go to host memory.
  TransferId save(BlockTable& table, std::int32_t num_tokens) {
    const auto unsaved = kv_.find_unsaved(table, prefix(static_cast<std::size_t>(num_tokens)), num_tokens);
    const TransferId id = kv_.transfers().to_host(unsaved);
    kv_.release(table);
    return id;
  }
  void save_and_end(std::int32_t num_tokens) {
    BlockTable table = computed(num_tokens);
    const TransferId id = save(table, num_tokens);
    kv_.transfers().take_due();
    EXPECT_TRUE(kv_.transfers().end(id));
  }

  std::vector<TokenId> text_;
  PrefixHashes hashes_;
  BlockIndex index_;
  KvManager kv_{index_, 1, kNumBlocks, kNumHostBlocks, {0}};
};

TEST_F(TransfersTest, SourcesAreHeldUntilTheEndAndFoundThen) {
  BlockTable table = computed(40);
  const std::vector<BlockId> blocks = table.blocks;
  const TransferId id = save(table, 40);
  EXPECT_EQ(kv_.pool().num_free(), kNumBlocks - 2) << "the partly filled block is not copied";
  EXPECT_EQ(kv_.host().num_free(), kNumHostBlocks - 2);
  EXPECT_EQ(kv_.transfers().num_departing(), 2);
  EXPECT_TRUE(kv_.transfers().is_source(blocks[0]));
  EXPECT_FALSE(kv_.transfers().is_source(blocks[2]));
  const DueTransfers due = kv_.transfers().take_due();
  ASSERT_EQ(due.to_host.size(), 1U);
  EXPECT_EQ(due.to_host[0].id, id);
  ASSERT_EQ(due.to_host[0].copies.size(), 2U);
  EXPECT_EQ(due.to_host[0].copies[1].source, blocks[1]);
  EXPECT_FALSE(kv_.transfers().are_due());
  EXPECT_EQ(kv_.probe(prefix(40), Tiers::kDeviceAndHost).num_blocks, 0) << "nothing has arrived";

  EXPECT_TRUE(kv_.transfers().end(id));
  EXPECT_FALSE(kv_.transfers().end(id)) << "once";
  EXPECT_EQ(kv_.pool().num_free(), kNumBlocks);
  EXPECT_EQ(kv_.host().num_free(), kNumHostBlocks);
  EXPECT_EQ(kv_.probe(prefix(40)).num_blocks, 0);
  EXPECT_EQ(kv_.probe(prefix(40, 8), Tiers::kDeviceAndHost).num_blocks, 0) << "another salt";
  const CachedPrefix cached = kv_.probe(prefix(40), Tiers::kDeviceAndHost);
  EXPECT_EQ(cached.num_blocks, 2);
  EXPECT_EQ(cached.num_from_host, 2);
  EXPECT_EQ(cached.num_free, 0);
}

TEST_F(TransfersTest, BlocksComeBackIntoATableThatMayLeaveBefore) {
  save_and_end(40);
  Match match = kv_.match(prefix(40), Tiers::kDeviceAndHost);
  EXPECT_EQ(kv_.capacity(match.table), 32);
  EXPECT_TRUE(kv_.transfers().is_running(match.arrives));
  EXPECT_EQ(kv_.host().num_free(), kNumHostBlocks - 2) << "held until they are read";
  const DueTransfers due = kv_.transfers().take_due();
  ASSERT_EQ(due.from_host.size(), 1U);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(due.from_host[0].copies[i].destination, match.table.blocks[i]);
  EXPECT_EQ(kv_.probe(prefix(40)).num_blocks, 0) << "not there yet";
  kv_.release(match.table);
  EXPECT_EQ(kv_.pool().num_free(), kNumBlocks - 2) << "they are still written";
  EXPECT_EQ(kv_.transfers().num_departing(), 2);
  EXPECT_TRUE(kv_.transfers().end(match.arrives));
  EXPECT_EQ(kv_.pool().num_free(), kNumBlocks);
  EXPECT_EQ(kv_.probe(prefix(40)).num_blocks, 2) << "others find them";
}

TEST_F(TransfersTest, OnlyWhatTheDeviceHasLostComesBack) {
  save_and_end(48);
  BlockTable other = computed(16);
  kv_.publish(other, prefix(16), 16);
  Match match = kv_.match(prefix(48), Tiers::kDeviceAndHost, false);
  EXPECT_EQ(match.table.blocks[0], other.blocks[0]);
  ASSERT_EQ(kv_.transfers().take_due().from_host.at(0).copies.size(), 1U) << "the third would hold the last token";
  kv_.transfers().end(match.arrives);
  EXPECT_EQ(kv_.probe(prefix(48)).num_blocks, 1) << "what came back was not to be found";
  kv_.release(match.table);
  kv_.release(other);
}

TEST_F(TransfersTest, NothingIsCopiedTwice) {
  BlockTable a = computed(33);
  std::optional<Fork> b = kv_.fork(a, 32);
  const TransferId id = save(a, 32);
  EXPECT_TRUE(kv_.find_unsaved(b->table, prefix(32), 32).empty()) << "on their way";
  EXPECT_EQ(kv_.transfers().num_departing(), 0) << "somebody has them";
  kv_.transfers().take_due();
  kv_.transfers().end(id);
  EXPECT_TRUE(kv_.find_unsaved(b->table, prefix(32), 32).empty()) << "there";
  kv_.release(b->table);
}

TEST_F(TransfersTest, NoPlanHasStartedWhatIsStillDue) {
  BlockTable table = computed(20);
  const TransferId id = save(table, 20);
  EXPECT_FALSE(kv_.transfers().end(id));
  EXPECT_EQ(kv_.pool().num_free(), kNumBlocks - 1);
  kv_.transfers().drop_all();
  EXPECT_FALSE(kv_.transfers().are_due());
  EXPECT_EQ(kv_.pool().num_free(), kNumBlocks);
  EXPECT_EQ(kv_.host().num_cached(), 0) << "nothing has arrived";
}

TEST_F(TransfersTest, TheOldestHostBlocksGiveWay) {
  for (std::int32_t first = 0; first < 3; ++first) {
    std::ranges::fill(text_, first);
    hashes_ = {};
    save_and_end(32);
  }
  const auto num_found = [&](TokenId token) {
    std::ranges::fill(text_, token);
    hashes_ = {};
    return kv_.probe(prefix(40), Tiers::kDeviceAndHost).num_blocks;
  };
  EXPECT_EQ(num_found(0), 0);
  EXPECT_EQ(num_found(1), 2);
  EXPECT_EQ(num_found(2), 2);
}

// A group with a window needs no more than what is in sight behind the last full block.
TEST(Transfers, OfAWindowOnlyWhatIsInSight) {
  BlockIndex index;
  KvManager kv(index, 1, 12, 8, {0, 20});
  std::vector<TokenId> text(64);
  std::iota(text.begin(), text.end(), 0);
  PrefixHashes hashes;
  const Prefix prefix = hashes.of(HashKey{1, 2}, 7, text);
  BlockTable table;
  ASSERT_TRUE(kv.grow(table, 60));
  kv.drop_hidden(table, 59);
  const auto unsaved = kv.find_unsaved(table, prefix, 59);
  ASSERT_EQ(unsaved.size(), 5U) << "three of the first group; of the second those behind token 28";
  const TransferId id = kv.transfers().to_host(unsaved);
  kv.release(table);
  kv.transfers().take_due();
  kv.transfers().end(id);
  const CachedPrefix cached = kv.probe(prefix, Tiers::kDeviceAndHost);
  EXPECT_EQ(cached.num_blocks, 3);
  EXPECT_EQ(cached.num_from_host, 5);
  Match match = kv.match(prefix, Tiers::kDeviceAndHost);
  EXPECT_EQ(match.table.num_held(), 5);
  EXPECT_EQ(match.table.blocks[1], kNoBlock);
  kv.release(match.table);
}

TEST(TransferCost, CopiesOnlyWhenThatIsKnownToBeCheaper) {
  const TransferCost known{.num_blocks = 4, .num_tokens = 60, .block_ns = 1000, .prompt_token_ns = 67};
  EXPECT_TRUE(known.is_cheaper()) << "4,000 against 4,020 ns";
  TransferCost cost = known;
  cost.prompt_token_ns = 66;
  EXPECT_FALSE(cost.is_cheaper());
  cost = known;
  cost.num_tokens = 44;
  EXPECT_FALSE(cost.is_cheaper());
  cost = known;
  cost.block_ns = 0;
  EXPECT_FALSE(cost.is_cheaper()) << "not measured";
  cost = known;
  cost.prompt_token_ns = 0;
  EXPECT_FALSE(cost.is_cheaper()) << "not measured";
  cost = {.num_blocks = 1 << 30, .num_tokens = 1 << 30, .block_ns = 1'000'000'000, .prompt_token_ns = 1'000'000'001};
  EXPECT_TRUE(cost.is_cheaper()) << "no overflow";
}

}  // namespace
}  // namespace caudal
