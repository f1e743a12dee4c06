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

template <Tier tier>
class BlockPool {
 public:
  using Id = BlockIdOf<tier>;

  // `index` outlives the pool.
  BlockPool(BlockIndex& index, ReplicaId replica, std::int32_t num_blocks);
  ~BlockPool() { unpublish_all(); }
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  std::int32_t num_blocks() const { return blocks_.size() - 1; }
  std::int32_t num_free() const { return num_free_; }      // not referenced, cached ones included
  std::int32_t num_cached() const { return num_cached_; }  // free and still published
  std::int32_t num_published() const { return num_published_; }
  std::int32_t num_references(Id id) const { return blocks_[id].num_references; }

  // A block with one reference; what was published in it is forgotten. There must be a free one.
  Id allocate();
  void retain(Id id);
  void release(Id id);

  // Makes a full, computed block findable. When another block of the pool already has this content, that one stays
  // the one that is found.
  void publish(Id id, const BlockContent& content);

  // Blocks of these hashes of a KV group are going to be published.
  void fetch(std::span<const BlockHash> hashes, std::size_t group) const { index_.fetch(hashes, group); }

  // Makes a held block unfindable again, if it was published.
  void unpublish(Id id);
  // Makes every block unfindable, free ones as well: the memory is gone.
  void unpublish_all();

  // The published block with this content. The caller must retain() it before it allocates anything.
  std::optional<Id> lookup(const BlockContent& content) const {
    const std::optional<std::int32_t> found = index_.find(content, id_);
    return found ? std::optional(Id::of(*found)) : std::nullopt;
  }
  IdRange<Id> ids() const { return caudal::ids<Id>(num_blocks()); }

  // CHECKs all of it. The number of published blocks.
  std::size_t check_integrity() const;

 private:
  static constexpr Id kNone = -1;

  // blocks_[sentinel()] is the head of the circular free list.
  struct Block {
    std::int32_t num_references = 0;
    Id previous = kNone;  // in the free list
    Id next = kNone;
    BlockIndex::Entry* entry = nullptr;  // what it is found by; nullptr: not published

    bool is_published() const { return entry != nullptr; }
  };

  Id sentinel() const { return Id::of(num_blocks()); }
  void insert_free(Id id, Id before);
  void remove_free(Id id);

  BlockIndex& index_;
  const PoolId id_;
  IndexedVector<Id, Block> blocks_;
  std::int32_t num_free_ = 0;
  std::int32_t num_cached_ = 0;
  std::int32_t num_published_ = 0;
};

}  // namespace caudal
