// KvManager: the block tables of a replica's sequences over its BlockPool: match, grow, fork, publish,
// release. Everything is all or nothing: what fails has changed nothing. A BlockTable lives in its
// sequence and changes only through here; KvManager lives in the scheduler, engine thread only.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "coordinator/kv/block_pool.h"
#include "coordinator/kv/prefix.h"

namespace caudal {

// Blocks that hold `num_tokens` tokens.
constexpr std::int32_t blocks_for(std::int32_t num_tokens) {
  return num_tokens / kBlockSize + (num_tokens % kBlockSize != 0 ? 1 : 0);
}

inline constexpr BlockId kNoBlock = -1;

// Leading blocks that nothing reads any more once `num_computed` tokens are computed, with a sliding window
// (ReplicaInfo::attention_window; 0 = none).
constexpr std::int32_t hidden_blocks(std::int32_t window, std::int32_t num_computed) {
  return window == 0 || num_computed < window ? 0 : (num_computed - window + 1) / kBlockSize;
}

// blocks[i] holds the KV of tokens [16 i, 16 i + 16). Copying one copies no references: see fork().
struct BlockTable {
  std::vector<BlockId> blocks;
  std::int32_t num_dropped = 0;    // leading blocks given back early; their entries are kNoBlock
  std::int32_t num_published = 0;  // leading blocks that have been offered to the hash index

  std::int32_t num_held() const { return static_cast<std::int32_t>(blocks.size()) - num_dropped; }
};

// How much of a sequence a replica has already.
struct CachedPrefix {
  std::int32_t num_tokens = 0;  // that need not be computed
  std::int32_t num_blocks = 0;  // that are shared; more tokens than these hold are copied
  std::int32_t num_free = 0;    // of these: held by nobody. Whoever takes one takes it from the free ones.
};

struct Fork {
  BlockTable table;
  std::optional<BlockCopy> copy;  // of the last, partly filled block; to be in the child's first plan
};

class KvManager {
 public:
  // `index` outlives it.
  KvManager(BlockIndex& index, ReplicaId replica, std::int32_t num_blocks)
      : pool_(index, {replica, Tier::kDevice}, num_blocks) {}

  const BlockPool& pool() const { return pool_; }

  // What match() would find.
  CachedPrefix probe(const Prefix& prefix) const;

  // A table with the longest published prefix. It stops short of the last token, which has to be computed
  // for the next one to be sampled.
  BlockTable match(const Prefix& prefix);

  // Makes room for `num_tokens` tokens in all. False: not enough free blocks, nothing changed.
  bool grow(BlockTable& table, std::int32_t num_tokens);

  // A second table over the same `num_tokens` computed tokens: full blocks are shared, a partly filled
  // last one is copied, because both sides will write to it. Empty: no free block, nothing changed.
  std::optional<Fork> fork(const BlockTable& parent, std::int32_t num_tokens);

  // Offers the full blocks among the first `num_computed` tokens to later match() calls.
  void publish(BlockTable& table, const Prefix& prefix, std::int32_t num_computed);

  // Nobody finds the table's blocks any more: their content is in doubt.
  void disown(const BlockTable& table);

  // Nobody finds any block any more: the replica is gone.
  void disown_all() { pool_.unpublish_all(); }

  // Keeps a single block from being handed out again, until let_go().
  void keep(BlockId block) { pool_.retain(block); }
  void let_go(BlockId block) { pool_.release(block); }

  // Gives the first `num_blocks` blocks back. What has been published in them can still be found.
  void drop(BlockTable& table, std::int32_t num_blocks);

  // Blocks of the table that nobody else holds: so many become free with release().
  std::int32_t num_exclusive(const BlockTable& table) const;

  // Gives all references back, the last block first, so that the cache loses ends before beginnings.
  void release(BlockTable& table);

 private:
  std::optional<BlockId> find(const Prefix& prefix, std::size_t block) const;

  BlockPool pool_;
};

}  // namespace caudal
