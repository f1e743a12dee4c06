// KvManager: the block tables of a replica's sequences over its BlockPools, one for each tier: match, grow, fork,
// publish, save, release. Tables lie on the device; host memory keeps what preempted sequences had computed, and
// Transfers carry blocks between both. Everything is all or nothing: what fails has changed nothing. A BlockTable lives
// in its sequence and changes only through here; KvManager lives in the scheduler, engine thread only.
//
// All KV groups of the model take blocks from the one pool, and a sequence has equally many blocks in each. A group
// with a window gives those back that no later query reads, whatever the other groups do.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "coordinator/kv/block_pool.h"
#include "coordinator/kv/prefix.h"
#include "coordinator/kv/transfers.h"

namespace caudal {

// Blocks that hold `num_tokens` tokens.
constexpr std::int32_t blocks_for(std::int32_t num_tokens) {
  return num_tokens / kBlockSize + (num_tokens % kBlockSize != 0 ? 1 : 0);
}

// Leading blocks of a group that nothing reads any more once `num_computed` tokens are computed, with its window
// (ReplicaInfo::kv_windows; 0 = none).
constexpr std::int32_t hidden_blocks(std::int32_t window, std::int32_t num_computed) {
  return window == 0 || num_computed < window ? 0 : (num_computed - window + 1) / kBlockSize;
}

// With G groups, blocks[i * G + g] holds tokens [16 i, 16 i + 16) in the layers of group g. Copying a table copies no
// references: see fork().
struct BlockTable {
  std::vector<BlockId> blocks;     // kNoBlock: given back early, because no query past num_passed reads it
  std::int32_t num_passed = 0;     // computed tokens when blocks were given back last
  std::int32_t num_published = 0;  // leading blocks of each group that have been offered to the index

  std::int32_t num_held() const {
    return static_cast<std::int32_t>(std::ssize(blocks) - std::ranges::count(blocks, kNoBlock));
  }
};

// How much of a sequence a replica has already.
struct CachedPrefix {
  std::int32_t num_tokens = 0;     // that need not be computed
  std::int32_t num_blocks = 0;     // of each group; more tokens than these hold are copied
  std::int32_t num_free = 0;       // of all groups: held by nobody. Whoever takes one takes it from the free ones.
  std::int32_t num_from_host = 0;  // of all groups: in host memory alone. Each takes a free block.
};

// Where match() looks.
enum class Tiers : std::uint8_t { kDevice, kDeviceAndHost };

struct Match {
  BlockTable table;
  TransferId arrives = 0;  // the transfer that brings some of its blocks; 0: all are there
};

struct Fork {
  BlockTable table;
  std::vector<BlockCopy> copies;  // of the last, partly filled block of each group; to be in the child's first plan
};

class KvManager {
 public:
  // `index` outlives it.
  KvManager(BlockIndex& index, ReplicaId replica, std::int32_t num_blocks, std::int32_t num_host_blocks,
            std::vector<std::int32_t> windows)
      : pool_(index, replica, num_blocks), host_(index, replica, num_host_blocks), windows_(std::move(windows)) {}
  KvManager(const KvManager&) = delete;
  KvManager& operator=(const KvManager&) = delete;

  const BlockPool<Tier::kDevice>& pool() const { return pool_; }
  const BlockPool<Tier::kHost>& host() const { return host_; }
  Transfers& transfers() { return transfers_; }
  const Transfers& transfers() const { return transfers_; }
  std::int32_t num_groups() const { return static_cast<std::int32_t>(windows_.size()); }

  // Tokens that the table has room for.
  std::int32_t capacity(const BlockTable& table) const {
    return static_cast<std::int32_t>(table.blocks.size()) / num_groups() * kBlockSize;
  }
  // Blocks of all groups that the table lacks for `num_tokens` tokens in all.
  std::int32_t num_missing(const BlockTable& table, std::int32_t num_tokens) const {
    return std::max(blocks_for(num_tokens) * num_groups() - static_cast<std::int32_t>(table.blocks.size()), 0);
  }
  // Leading blocks of the group that have been given back early.
  std::int32_t num_dropped(const BlockTable& table, std::size_t group) const {
    return hidden_blocks(windows_[group], table.num_passed);
  }

  // What match() would find.
  CachedPrefix probe(const Prefix& prefix, Tiers tiers = Tiers::kDevice) const;

  // A table with the longest published prefix: of each group those of its blocks that a query behind it reads. It stops
  // short of the last token, which has to be computed for the next one to be sampled. What is in host memory alone gets
  // free blocks, which have to be there, and a transfer into them. `publish`: others may find these when they are
  // there.
  Match match(const Prefix& prefix, Tiers tiers = Tiers::kDevice, bool publish = true);

  // Makes room for `num_tokens` tokens in all. False: not enough free blocks, nothing changed.
  bool grow(BlockTable& table, std::int32_t num_tokens);

  // Whether fork() finds all blocks that a query behind `num_tokens` tokens reads.
  bool can_fork(const BlockTable& parent, std::int32_t num_tokens) const;

  // A second table over the same `num_tokens` computed tokens: full blocks are shared, a partly filled
  // last one is copied, because both sides will write to it. Empty: too few free blocks, nothing changed.
  std::optional<Fork> fork(const BlockTable& parent, std::int32_t num_tokens);

  // Offers the full blocks among the first `num_computed` tokens to later match() calls.
  void publish(BlockTable& table, const Prefix& prefix, std::int32_t num_computed);

  // Nobody finds the table's blocks any more: their content is in doubt.
  void disown(const BlockTable& table);

  // Nobody finds any block any more: the replica is gone, and its transfers with it.
  void disown_all();

  // The blocks that a query behind the full ones among the first `num_computed` tokens reads, as far as host memory
  // lacks them and no transfer is copying them out. Nothing: one of them is lost, or they are all there.
  std::vector<TransferSource<Tier::kDevice>> find_unsaved(const BlockTable& table, const Prefix& prefix,
                                                          std::int32_t num_computed) const;

  // Keeps a single block from being handed out again, until let_go().
  void keep(BlockId block) { pool_.retain(block); }
  void let_go(BlockId block) { pool_.release(block); }

  // Gives the blocks back that nothing reads any more once `num_computed` tokens are computed, not even a query behind
  // the last full block, where the sequence may have to begin again. What has been published in them can still be
  // found.
  void drop_hidden(BlockTable& table, std::int32_t num_computed);

  // Blocks of the table that nobody else holds: so many become free with release().
  std::int32_t num_exclusive(const BlockTable& table) const;

  // Gives all references back, the last block first, so that the cache loses ends before beginnings.
  void release(BlockTable& table);

 private:
  bool is_found(const BlockContent& content, Tiers tiers) const {
    return pool_.lookup(content) || (tiers == Tiers::kDeviceAndHost && host_.lookup(content));
  }
  std::int32_t num_matching(const Prefix& prefix, Tiers tiers) const;

  // Of a table: the entry of the block.
  std::size_t place(std::int32_t block, std::size_t group) const {
    return static_cast<std::size_t>(block) * windows_.size() + group;
  }

  BlockPool<Tier::kDevice> pool_;
  BlockPool<Tier::kHost> host_;
  Transfers transfers_{pool_, host_};
  const std::vector<std::int32_t> windows_;  // by group
};

}  // namespace caudal
