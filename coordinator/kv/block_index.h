// BlockIndex: which KV blocks of the cluster hold which content, for all replicas and tiers together. A full block is
// found by its tokens and everything before them. So an arriving request asks once which replicas have its prefix,
// however many replicas there are. BlockPools publish into it and are the only ones who change it.
// Owned by the scheduler, engine thread only; outlives the pools. Holds ids, never memory.
#pragma once

#include <compare>
#include <optional>
#include <vector>

#include <boost/container/small_vector.hpp>

#include "coordinator/kv/arena.h"
#include "coordinator/kv/prefix.h"

namespace caudal {

// The blocks of one tier of one replica.
struct PoolId {
  ReplicaId replica = 0;
  Tier tier = Tier::kDevice;

  auto operator<=>(const PoolId&) const = default;
};

struct BlockLocation {
  PoolId pool;
  std::int32_t block = 0;  // an id of the pool's tier; the pool knows which
};

// A replica that holds the beginning of a prefix.
struct PrefixHolder {
  ReplicaId replica = 0;
  std::int32_t num_blocks = 0;  // block num_blocks - 1 is there; those before may have been lost since
};

class BlockIndex {
  // By pool, one of each. Most contents are in one place only.
  using Locations = boost::container::small_vector<BlockLocation, 1>;

 public:
  // A published content; lasts until the last block with it is erased. Two cache lines.
  struct alignas(64) Entry {
    BlockContent content;
    Locations locations{};
  };

  BlockIndex() = default;
  ~BlockIndex();
  BlockIndex(const BlockIndex&) = delete;
  BlockIndex& operator=(const BlockIndex&) = delete;

  // nullptr: another block of the pool has this content already and stays the one that is found.
  Entry* insert(const BlockContent& content, const BlockLocation& location);
  void erase(Entry& entry, PoolId pool);

  // Brings the places of these hashes of a KV group into the cache, all together: each alone would be waited for.
  void fetch(std::span<const BlockHash> hashes, std::size_t group) const;

  // The block of the pool with this content. Parent and tokens are compared, not only the hash.
  std::optional<std::int32_t> find(const BlockContent& content, PoolId pool) const;

  // Up to `max_holders` replicas with the longest beginnings of the prefix, the longest first, by the blocks of the
  // first KV group: its layers see the furthest. Which of equal ones come
  // first depends on `turn`, so that different turns spread over all of them. O(blocks of the prefix + holders found):
  // it never walks all replicas.
  std::vector<PrefixHolder> find_holders(const Prefix& prefix, std::size_t max_holders, std::uint64_t turn) const;

  // Published blocks of all pools. Linear, as the other: for tests and debug builds.
  std::size_t num_locations() const;
  void check_integrity() const;

 private:
  struct Row {
    std::uint64_t mark = 0;  // of the content: only where it is equal the entry is looked at
    Entry* entry = nullptr;  // nullptr: the row is free
  };
  // A part of the entries, by their marks. It grows alone, so that no turn waits until all of them have moved.
  struct Segment {
    std::vector<Row> rows = std::vector<Row>(2);  // a power of two of them, at most half of them taken
    std::size_t num_taken = 0;

    std::size_t mask() const { return rows.size() - 1; }
    // The place of the content, or the free one that it would get.
    std::size_t find(std::uint64_t mark, const BlockContent& content) const;
    void insert(std::uint64_t mark, Entry* entry);  // a new one
    void erase(std::size_t hole);
  };
  static constexpr int kSegmentBits = 8;

  static std::uint64_t mark_of(BlockHash hash, std::size_t group);
  static std::size_t segment_of(std::uint64_t mark) { return mark >> (64 - kSegmentBits); }
  const Entry* find_entry(const BlockContent& content) const;

  Arena<Entry> entries_;
  std::vector<Segment> segments_ = std::vector<Segment>(std::size_t{1} << kSegmentBits);
};

}  // namespace caudal
