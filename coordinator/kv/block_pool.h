// BlockPool: the ids of one replica's KV blocks: reference counts, the free list, and the hash index.
// The free list *is* the prefix cache: a freed block keeps its content until it is handed out again,
// plain blocks first, then published ones in the order they were freed (LRU). Every operation is O(1).
// Owned by a KvManager, engine thread only; holds ids, never memory.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "common/block_hash.h"
#include "common/types.h"

namespace caudal {

class BlockPool {
 public:
  explicit BlockPool(std::int32_t num_blocks);

  std::int32_t num_blocks() const { return static_cast<std::int32_t>(blocks_.size()) - 1; }
  std::int32_t num_free() const { return num_free_; }      // not referenced, cached ones included
  std::int32_t num_cached() const { return num_cached_; }  // free and still published
  std::int32_t num_references(BlockId id) const { return blocks_[id].num_references; }

  // A block with one reference; what was published in it is forgotten. There must be a free one.
  BlockId allocate();
  void retain(BlockId id);
  void release(BlockId id);

  // Makes a full, computed block findable. When another block already has this content, that one stays
  // the one that is found.
  void publish(BlockId id, BlockHash parent, BlockHash hash, BlockTokens tokens);

  // Makes a held block unfindable again, if it was published.
  void unpublish(BlockId id);

  // The published block with this content; parent and tokens are compared, not only the hash.
  // The caller must retain() it before it allocates anything.
  std::optional<BlockId> lookup(BlockHash parent, BlockHash hash, BlockTokens tokens) const;

  void check_integrity() const;

 private:
  static constexpr BlockId kNone = -1;

  // blocks_[num_blocks()] is the sentinel of the circular free list.
  struct Block {
    std::int32_t num_references = 0;
    BlockId previous = kNone;  // in the free list
    BlockId next = kNone;
    BlockId next_in_bucket = kNone;
    bool published = false;
  };
  struct Content {
    BlockHash parent = 0;
    BlockHash hash = 0;
    std::array<TokenId, kBlockSize> tokens{};
  };

  BlockId& bucket(BlockHash hash) { return buckets_[hash & (buckets_.size() - 1)]; }
  BlockId bucket(BlockHash hash) const { return buckets_[hash & (buckets_.size() - 1)]; }
  void insert_free(BlockId id, BlockId before);
  void remove_free(BlockId id);

  std::vector<Block> blocks_;
  std::vector<Content> contents_;  // of published blocks
  std::vector<BlockId> buckets_;   // heads of the hash index's chains; a power of two of them
  std::int32_t num_free_ = 0;
  std::int32_t num_cached_ = 0;
};

}  // namespace caudal
