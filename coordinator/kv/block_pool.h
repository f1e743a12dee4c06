// BlockPool: the ids of the KV blocks of one tier of one replica: reference counts and the free list.
// The free list *is* the prefix cache: a freed block keeps its content until it is handed out again,
// plain blocks first, then published ones in the order they were freed (LRU). Published blocks are found through the
// BlockIndex. Every operation is O(1), but for the few pools that hold the same content.
// Owned by a KvManager, engine thread only; holds ids, never memory.
#pragma once

#include <optional>
#include <vector>

#include "common/types.h"
#include "coordinator/kv/block_index.h"

namespace caudal {

class BlockPool {
 public:
  // `index` outlives the pool.
  BlockPool(BlockIndex& index, PoolId id, std::int32_t num_blocks);
  ~BlockPool() { unpublish_all(); }
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  std::int32_t num_blocks() const { return static_cast<std::int32_t>(blocks_.size()) - 1; }
  std::int32_t num_free() const { return num_free_; }      // not referenced, cached ones included
  std::int32_t num_cached() const { return num_cached_; }  // free and still published
  std::int32_t num_references(BlockId id) const { return blocks_[id].num_references; }

  // A block with one reference; what was published in it is forgotten. There must be a free one.
  BlockId allocate();
  void retain(BlockId id);
  void release(BlockId id);

  // Makes a full, computed block findable. When another block of the pool already has this content, that one stays
  // the one that is found.
  void publish(BlockId id, const BlockContent& content);

  // Blocks of these hashes of a KV group are going to be published.
  void fetch(std::span<const BlockHash> hashes, std::size_t group) const { index_.fetch(hashes, group); }

  // Makes a held block unfindable again, if it was published.
  void unpublish(BlockId id);
  // Makes every block unfindable, free ones as well: the memory is gone.
  void unpublish_all();

  // The published block with this content. The caller must retain() it before it allocates anything.
  std::optional<BlockId> lookup(const BlockContent& content) const { return index_.find(content, id_); }

  // CHECKs all of it. The number of published blocks.
  std::size_t check_integrity() const;

 private:
  static constexpr BlockId kNone = -1;

  // blocks_[num_blocks()] is the sentinel of the circular free list.
  struct Block {
    std::int32_t num_references = 0;
    BlockId previous = kNone;  // in the free list
    BlockId next = kNone;
    BlockIndex::Entry* entry = nullptr;  // what it is found by; nullptr: not published

    bool is_published() const { return entry != nullptr; }
  };

  void insert_free(BlockId id, BlockId before);
  void remove_free(BlockId id);

  BlockIndex& index_;
  const PoolId id_;
  std::vector<Block> blocks_;
  std::int32_t num_free_ = 0;
  std::int32_t num_cached_ = 0;
};

}  // namespace caudal
