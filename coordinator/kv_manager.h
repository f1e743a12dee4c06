// KvManager: the block tables of a replica's sequences over its BlockPool: match, grow, fork, publish,
// release. Everything is all or nothing: what fails has changed nothing. A BlockTable lives in its
// sequence and changes only through here; KvManager lives in the scheduler, engine thread only.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "coordinator/block_pool.h"

namespace caudal {

// Blocks that hold `num_tokens` tokens.
constexpr std::int32_t blocks_for(std::int32_t num_tokens) {
  return num_tokens / kBlockSize + (num_tokens % kBlockSize != 0 ? 1 : 0);
}

// blocks[i] holds the KV of tokens [16 i, 16 i + 16). Copying one copies no references: see fork().
struct BlockTable {
  std::vector<BlockId> blocks;
  std::int32_t num_published = 0;  // leading blocks that have been offered to the hash index
  BlockHash chain = 0;             // hash of the last of them, or the root hash
};

struct Fork {
  BlockTable table;
  std::optional<BlockCopy> copy;  // of the last, partly filled block; to be in the child's first plan
};

class KvManager {
 public:
  KvManager(std::int32_t num_blocks, HashKey key) : pool_(num_blocks), key_(key) {}

  const BlockPool& pool() const { return pool_; }

  // A table with the longest published prefix of `tokens` under `root`. It stops short of the last
  // token, which has to be computed for the next one to be sampled.
  BlockTable match(BlockHash root, std::span<const TokenId> tokens);

  // Makes room for `num_tokens` tokens in all. False: not enough free blocks, nothing changed.
  bool grow(BlockTable& table, std::int32_t num_tokens);

  // A second table over the same `num_tokens` computed tokens: full blocks are shared, a partly filled
  // last one is copied, because both sides will write to it. Empty: no free block, nothing changed.
  std::optional<Fork> fork(const BlockTable& parent, std::int32_t num_tokens);

  // Offers the full blocks among the first `num_computed` of `tokens` to later match() calls.
  void publish(BlockTable& table, std::span<const TokenId> tokens, std::int32_t num_computed);

  // Gives all references back, the last block first, so that the cache loses ends before beginnings.
  void release(BlockTable& table);

 private:
  BlockPool pool_;
  HashKey key_;
};

}  // namespace caudal
