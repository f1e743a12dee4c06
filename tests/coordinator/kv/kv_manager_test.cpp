#include "coordinator/kv/kv_manager.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace caudal {
namespace {

std::vector<TokenId> tokens(std::int32_t count) {
  std::vector<TokenId> result(count);
  std::iota(result.begin(), result.end(), 0);
  return result;
}

// What a sequence would ask with.
class Asked {
 public:
  Asked(BlockHash root, std::span<const TokenId> text) : prefix_(hashes_.of(HashKey{1, 2}, root, text)) {}
  operator const Prefix&() const { return prefix_; }

 private:
  PrefixHashes hashes_;
  Prefix prefix_;
};

TEST(KvManager, GrowsByWholeBlocksOrNotAtAll) {
  BlockIndex index;
  KvManager kv(index, 0, 3, 0, {0});
  BlockTable a;
  EXPECT_TRUE(kv.grow(a, 17));
  EXPECT_EQ(a.blocks.size(), 2U);
  EXPECT_TRUE(kv.grow(a, 32)) << "there is room already";
  EXPECT_EQ(a.blocks.size(), 2U);
  BlockTable b;
  EXPECT_FALSE(kv.grow(b, 17));
  EXPECT_TRUE(b.blocks.empty());
  EXPECT_EQ(kv.pool().num_free(), 1);
  kv.release(a);
  EXPECT_TRUE(a.blocks.empty());
  EXPECT_EQ(kv.pool().num_free(), 3);
}

TEST(KvManager, FindsThePublishedPrefixShortOfTheLastToken) {
  BlockIndex index;
  KvManager kv(index, 0, 8, 0, {0});
  const auto text = tokens(40);
  BlockTable a = kv.match(Asked(7, text)).table;
  EXPECT_TRUE(a.blocks.empty());
  ASSERT_TRUE(kv.grow(a, 40));
  kv.publish(a, Asked(7, text), 31);
  EXPECT_EQ(a.num_published, 1) << "the second block is not computed to its end";
  kv.publish(a, Asked(7, text), 40);
  EXPECT_EQ(a.num_published, 2);

  BlockTable b = kv.match(Asked(7, text)).table;
  EXPECT_EQ(b.blocks, std::vector<BlockId>(a.blocks.begin(), a.blocks.begin() + 2));
  BlockTable exact = kv.match(Asked(7, std::span(text).first(32))).table;
  EXPECT_EQ(exact.blocks.size(), 1U) << "the last token has to be computed";
  EXPECT_TRUE(kv.match(Asked(8, text)).table.blocks.empty()) << "another salt shares nothing";
  EXPECT_EQ(kv.pool().num_references(a.blocks[0]), 3);
  for (BlockTable* table : {&a, &b, &exact}) kv.release(*table);
  EXPECT_EQ(kv.pool().num_free(), 8);
  EXPECT_EQ(kv.pool().num_cached(), 2);
}

TEST(KvManager, LosesTheEndOfACachedPrefixFirst) {
  BlockIndex index;
  KvManager kv(index, 0, 3, 0, {0});
  const auto text = tokens(49);
  BlockTable a = kv.match(Asked(0, text)).table;
  ASSERT_TRUE(kv.grow(a, 48));
  kv.publish(a, Asked(0, text), 48);
  kv.release(a);
  BlockTable other;
  ASSERT_TRUE(kv.grow(other, 1));
  BlockTable again = kv.match(Asked(0, text)).table;
  EXPECT_EQ(again.blocks.size(), 2U);
}

TEST(KvManager, DroppedBlocksAreFreeAndStillFound) {
  EXPECT_EQ(hidden_blocks(0, 1000), 0);
  EXPECT_EQ(hidden_blocks(32, 46), 0) << "the query at 46 sees the key at 15";
  EXPECT_EQ(hidden_blocks(32, 47), 1);
  BlockIndex index;
  KvManager kv(index, 0, 5, 0, {32});
  const auto text = tokens(70);
  BlockTable a;
  ASSERT_TRUE(kv.grow(a, 64));
  kv.publish(a, Asked(0, text), 64);
  kv.drop_hidden(a, 64);
  kv.drop_hidden(a, 64);
  EXPECT_EQ(a.num_held(), 2);
  EXPECT_EQ(kv.pool().num_free(), 3);
  EXPECT_EQ(kv.pool().num_cached(), 2);
  EXPECT_EQ(kv.probe(Asked(0, std::span(text).first(33))).num_free, 2);
  EXPECT_FALSE(kv.can_fork(a, 60)) << "the query at 60 sees the second block";
  const auto fork = kv.fork(a, 63);
  ASSERT_TRUE(fork);
  EXPECT_EQ(fork->table.num_held(), 2);
  BlockTable child = fork->table;
  kv.release(child);
  kv.release(a);
  EXPECT_EQ(kv.pool().num_free(), 5);
  kv.pool().check_integrity();
}

// Layers that see everything beside layers that see 32 tokens: only these give blocks back, and of these only what is
// in sight has to be found.
TEST(KvManager, GroupsFreeAndFindBlocksByTheirOwnWindow) {
  BlockIndex index;
  KvManager kv(index, 0, 10, 0, {0, 32});
  const auto text = tokens(70);
  BlockTable a;
  EXPECT_EQ(kv.num_missing(a, 64), 8);
  ASSERT_TRUE(kv.grow(a, 64));
  EXPECT_EQ(a.blocks, (std::vector<BlockId>{0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(kv.capacity(a), 64);
  EXPECT_EQ(kv.num_missing(a, 65), 2);
  kv.publish(a, Asked(0, text), 64);
  kv.drop_hidden(a, 64);
  EXPECT_EQ(a.blocks, (std::vector<BlockId>{0, kNoBlock, 2, kNoBlock, 4, 5, 6, 7}));
  EXPECT_EQ(kv.pool().num_free(), 4);
  BlockTable other;  // overwrites what the windowed layers have lost
  ASSERT_TRUE(kv.grow(other, 32));
  EXPECT_EQ(kv.pool().num_cached(), 0);

  BlockTable b = kv.match(Asked(0, text)).table;
  EXPECT_EQ(b.blocks, a.blocks);
  EXPECT_EQ(b.num_held(), 6);
  EXPECT_EQ(kv.probe(Asked(0, std::span(text).first(49))).num_blocks, 0) << "behind 48 tokens the second block is seen";
  kv.release(other);
  const auto fork = kv.fork(a, 63);
  ASSERT_TRUE(fork);
  ASSERT_EQ(fork->copies.size(), 2U) << "one of each group";
  EXPECT_EQ(fork->copies[0].source, BlockId(6));
  EXPECT_EQ(fork->copies[1].source, BlockId(7));
  BlockTable child = fork->table;
  EXPECT_EQ(child.num_held(), 6);
  for (BlockTable* table : {&a, &b, &child}) kv.release(*table);
  EXPECT_EQ(kv.pool().num_free(), 10);
  EXPECT_EQ(kv.pool().check_integrity(), index.num_locations());
}

TEST(KvManager, DisownedBlocksAreNotFound) {
  BlockIndex index;
  KvManager kv(index, 0, 4, 0, {0});
  const auto text = tokens(40);
  BlockTable a;
  ASSERT_TRUE(kv.grow(a, 40));
  kv.publish(a, Asked(0, text), 40);
  EXPECT_EQ(kv.probe(Asked(0, text)).num_blocks, 2);
  kv.disown(a);
  EXPECT_EQ(kv.probe(Asked(0, text)).num_blocks, 0);
  kv.release(a);
  EXPECT_EQ(kv.pool().num_cached(), 0);
  kv.pool().check_integrity();
}

TEST(KvManager, ForksShareFullBlocksAndCopyTheLast) {
  BlockIndex index;
  KvManager kv(index, 0, 4, 0, {0});
  BlockTable a;
  ASSERT_TRUE(kv.grow(a, 40));
  auto fork = kv.fork(a, 40);
  ASSERT_TRUE(fork && fork->copies.size() == 1);
  EXPECT_EQ(fork->table.blocks[1], a.blocks[1]);
  EXPECT_NE(fork->table.blocks[2], a.blocks[2]);
  EXPECT_EQ(fork->copies[0].source, a.blocks[2]);
  EXPECT_EQ(fork->copies[0].destination, fork->table.blocks[2]);
  EXPECT_FALSE(kv.fork(a, 40)) << "no block for the copy";
  EXPECT_EQ(kv.pool().num_references(a.blocks[0]), 2) << "the failed fork changed nothing";
  kv.publish(a, Asked(0, tokens(40)), 40);
  const auto shorter = kv.fork(a, 16);
  ASSERT_TRUE(shorter);
  EXPECT_EQ(shorter->table.num_published, 1) << "what it does not share it has not published";
  const auto whole = kv.fork(a, 32);
  ASSERT_TRUE(whole);
  EXPECT_TRUE(whole->copies.empty());
}

// Random sequences over a tiny alphabet. A map remembers what every block was filled with, so a match that
// returns a block with other content, an incomplete one, or one that was reused shows at once.
class RandomTables {
 public:
  explicit RandomTables(std::uint64_t seed)
      : random_(seed), num_blocks_(draw(1, 12)), kv_(index_, 0, num_blocks_, 0, {0}), filled_(num_blocks_) {}

  void step() {
    const std::int32_t operation = draw(0, 5);
    if (rows_.empty() || operation == 0) return start();
    Row& row = rows_[draw(0, static_cast<std::int32_t>(rows_.size()) - 1)];
    if (operation <= 2) return extend(row);
    if (operation == 3)
      return kv_.publish(row.table, Asked(row.root, row.tokens), static_cast<std::int32_t>(row.tokens.size()));
    if (operation == 4) return fork(row);
    kv_.release(row.table);
    std::swap(row, rows_.back());
    rows_.pop_back();
  }

  void check() {
    index_.check_integrity();
    ASSERT_EQ(kv_.pool().check_integrity(), index_.num_locations());
    IndexedVector<BlockId, std::int32_t> num_holders(num_blocks_);
    for (const Row& row : rows_) {
      for (std::size_t i = 0; i < row.table.blocks.size(); ++i) {
        const BlockId block = row.table.blocks[i];
        const auto begin = row.tokens.begin() + std::min<std::ptrdiff_t>(i * kBlockSize, std::ssize(row.tokens));
        const auto end = row.tokens.begin() + std::min<std::ptrdiff_t>((i + 1) * kBlockSize, std::ssize(row.tokens));
        ASSERT_EQ(filled_[block], std::vector<TokenId>(begin, end));
        const bool shared = ++num_holders[block] > 1;
        ASSERT_TRUE(!shared || filled_[block].size() == kBlockSize) << "only full blocks may be shared";
      }
    }
    for (const BlockId block : num_holders.ids()) {
      ASSERT_EQ(kv_.pool().num_references(block), num_holders[block]);
    }
  }

  void drain() {
    for (Row& row : rows_) kv_.release(row.table);
    rows_.clear();
    ASSERT_EQ(kv_.pool().num_free(), num_blocks_);
  }

  std::int32_t num_hits() const { return num_hits_; }

 private:
  struct Row {
    BlockHash root = 0;
    std::vector<TokenId> tokens;
    BlockTable table;
  };

  std::int32_t draw(std::int32_t lowest, std::int32_t highest) {
    return lowest + static_cast<std::int32_t>(random_() % static_cast<std::uint64_t>(highest - lowest + 1));
  }

  // Writes the tokens into the blocks, as a step would.
  void fill(const Row& row, std::size_t first) {
    for (std::size_t i = first; i < row.tokens.size(); ++i) {
      auto& block = filled_[row.table.blocks[i / kBlockSize]];
      block.resize(i % kBlockSize);
      block.push_back(row.tokens[i]);
    }
  }

  bool grow(Row& row) {
    const BlockTable before = row.table;
    const std::int32_t num_free = kv_.pool().num_free();
    if (kv_.grow(row.table, static_cast<std::int32_t>(row.tokens.size()))) return true;
    EXPECT_EQ(row.table.blocks, before.blocks);
    EXPECT_EQ(kv_.pool().num_free(), num_free);
    return false;
  }

  void start() {
    Row row;
    const TokenId letter = draw(0, 1);
    row.tokens.assign(draw(1, 60), letter);
    row.tokens[draw(0, static_cast<std::int32_t>(row.tokens.size()) - 1)] = draw(0, 1);
    row.root = static_cast<BlockHash>(draw(0, 1));
    const std::int32_t num_free = kv_.pool().num_free();
    const CachedPrefix cached = kv_.probe(Asked(row.root, row.tokens));
    row.table = kv_.match(Asked(row.root, row.tokens)).table;
    ASSERT_EQ(std::ssize(row.table.blocks), cached.num_blocks);
    ASSERT_EQ(kv_.pool().num_free(), num_free - cached.num_free) << "probe() says exactly what match() takes";
    const std::size_t num_cached = row.table.blocks.size() * kBlockSize;
    num_hits_ += static_cast<std::int32_t>(row.table.blocks.size());
    if (!grow(row)) return kv_.release(row.table);
    fill(row, num_cached);
    rows_.push_back(std::move(row));
  }

  void extend(Row& row) {
    const std::size_t num_before = row.tokens.size();
    row.tokens.insert(row.tokens.end(), draw(1, 20), draw(0, 1));
    if (grow(row)) return fill(row, num_before);
    row.tokens.resize(num_before);
  }

  void fork(const Row& row) {
    const std::int32_t num_free = kv_.pool().num_free();
    auto fork = kv_.fork(row.table, static_cast<std::int32_t>(row.tokens.size()));
    if (!fork) {
      EXPECT_EQ(kv_.pool().num_free(), num_free);
      return;
    }
    for (const BlockCopy& copy : fork->copies) filled_[copy.destination] = filled_[copy.source];
    rows_.push_back({row.root, row.tokens, std::move(fork->table)});
  }

  std::mt19937_64 random_;
  std::int32_t num_blocks_;
  BlockIndex index_;
  KvManager kv_;
  IndexedVector<BlockId, std::vector<TokenId>> filled_;
  std::vector<Row> rows_;
  std::int32_t num_hits_ = 0;
};

TEST(KvManager, RandomOperationsKeepEveryBlockInOnePlace) {
  std::int32_t num_hits = 0;
  for (std::uint64_t seed = 1; seed <= 10000; ++seed) {
    SCOPED_TRACE(seed);
    RandomTables tables(seed);
    for (int i = 0; i < 40; ++i) {
      tables.step();
      tables.check();
      if (HasFailure()) return;
    }
    tables.drain();
    num_hits += tables.num_hits();
  }
  EXPECT_GT(num_hits, 1000);
}

}  // namespace
}  // namespace caudal
