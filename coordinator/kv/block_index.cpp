#include "coordinator/kv/block_index.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace caudal {

// The keyed hash spreads contents, and an odd factor its groups.
std::uint64_t BlockIndex::mark_of(BlockHash hash, std::size_t group) { return hash + group * 0x9e3779b97f4a7c15ULL; }

std::size_t BlockIndex::Segment::find(std::uint64_t mark, const BlockContent& content) const {
  std::size_t i = mark & mask();
  while (rows[i].entry != nullptr && (rows[i].mark != mark || rows[i].entry->content != content)) i = (i + 1) & mask();
  return i;
}

void BlockIndex::Segment::insert(std::uint64_t mark, Entry* entry) {
  const auto put = [&](const Row& row) {
    std::size_t i = row.mark & mask();
    while (rows[i].entry != nullptr) i = (i + 1) & mask();
    rows[i] = row;
  };
  if (++num_taken * 2 > rows.size()) {
    std::vector<Row> before(2 * rows.size());
    std::swap(before, rows);
    for (const Row& row : before) {
      if (row.entry != nullptr) put(row);
    }
  }
  put({mark, entry});
}

// Those behind the hole move up, unless they would come to stand before their own place.
void BlockIndex::Segment::erase(std::size_t hole) {
  rows[hole] = {};
  --num_taken;
  for (std::size_t i = (hole + 1) & mask(); rows[i].entry != nullptr; i = (i + 1) & mask()) {
    const std::size_t from_own_place = (i - rows[i].mark) & mask();
    const std::size_t from_hole = (i - hole) & mask();
    if (from_own_place >= from_hole) rows[std::exchange(hole, i)] = std::exchange(rows[i], {});
  }
}

BlockIndex::~BlockIndex() {
  for (const Segment& segment : segments_) {
    for (const Row& row : segment.rows) {
      if (row.entry != nullptr) entries_.erase(*row.entry);
    }
  }
}

const BlockIndex::Entry* BlockIndex::find_entry(const BlockContent& content) const {
  const std::uint64_t mark = mark_of(content.hash, content.group);
  const Segment& segment = segments_[segment_of(mark)];
  return segment.rows[segment.find(mark, content)].entry;
}

void BlockIndex::fetch(std::span<const BlockHash> hashes, std::size_t group) const {
  const auto row_of = [&](BlockHash hash) {
    const std::uint64_t mark = mark_of(hash, group);
    const Segment& segment = segments_[segment_of(mark)];
    return &segment.rows[mark & segment.mask()];
  };
  for (const BlockHash hash : hashes) __builtin_prefetch(row_of(hash));
  for (const BlockHash hash : hashes) {
    const Row& row = *row_of(hash);
    if (row.mark == mark_of(hash, group)) __builtin_prefetch(row.entry);
  }
}

BlockIndex::Entry* BlockIndex::insert(const BlockContent& content, const BlockLocation& location) {
  const std::uint64_t mark = mark_of(content.hash, content.group);
  Segment& segment = segments_[segment_of(mark)];
  Entry* entry = segment.rows[segment.find(mark, content)].entry;
  if (entry == nullptr) {
    entry = &entries_.make(content);
    segment.insert(mark, entry);
  }
  Locations& locations = entry->locations;
  const auto position = std::ranges::lower_bound(locations, location.pool, {}, &BlockLocation::pool);
  if (position != locations.end() && position->pool == location.pool) return nullptr;
  locations.insert(position, location);
  return entry;
}

void BlockIndex::erase(Entry& entry, PoolId pool) {
  Locations& locations = entry.locations;
  const auto position = std::ranges::lower_bound(locations, pool, {}, &BlockLocation::pool);
  CHECK(position != locations.end() && position->pool == pool);
  locations.erase(position);
  if (!locations.empty()) return;
  const std::uint64_t mark = mark_of(entry.content.hash, entry.content.group);
  Segment& segment = segments_[segment_of(mark)];
  const std::size_t row = segment.find(mark, entry.content);
  CHECK(segment.rows[row].entry == &entry);
  segment.erase(row);
  entries_.erase(entry);
}

std::optional<std::int32_t> BlockIndex::find(const BlockContent& content, PoolId pool) const {
  const Entry* entry = find_entry(content);
  if (entry == nullptr) return std::nullopt;
  const auto position = std::ranges::lower_bound(entry->locations, pool, {}, &BlockLocation::pool);
  if (position == entry->locations.end() || position->pool != pool) return std::nullopt;
  return position->block;
}

std::vector<PrefixHolder> BlockIndex::find_holders(const Prefix& prefix, std::size_t max_holders,
                                                   std::uint64_t turn) const {
  std::vector<PrefixHolder> holders;
  fetch(prefix.hashes_of(0, prefix.num_findable()), 0);
  for (std::int32_t num_blocks = prefix.num_findable(); num_blocks > 0 && holders.size() < max_holders; --num_blocks) {
    const Entry* entry = find_entry(prefix.content(num_blocks - 1));
    if (entry == nullptr) continue;
    const Locations& locations = entry->locations;
    // Each turn of the loop meets a new replica or one of the few known ones, so it is short.
    for (std::size_t i = 0; i < locations.size() && holders.size() < max_holders; ++i) {
      const ReplicaId replica = locations[(turn + i) % locations.size()].pool.replica;
      if (std::ranges::find(holders, replica, &PrefixHolder::replica) == holders.end())
        holders.push_back({replica, num_blocks});
    }
  }
  return holders;
}

std::size_t BlockIndex::num_locations() const {
  std::size_t num_locations = 0;
  for (const Segment& segment : segments_) {
    for (const Row& row : segment.rows) num_locations += row.entry == nullptr ? 0 : row.entry->locations.size();
  }
  return num_locations;
}

void BlockIndex::check_integrity() const {
  const auto is_unordered = [](const BlockLocation& a, const BlockLocation& b) { return a.pool >= b.pool; };
  for (const Segment& segment : segments_) {
    std::size_t num_taken = 0;
    for (const Row& row : segment.rows) {
      if (row.entry == nullptr) continue;
      ++num_taken;
      CHECK_MSG(find_entry(row.entry->content) == row.entry, "an entry cannot be found, or stands twice");
      CHECK_MSG(!row.entry->locations.empty(), "a content that no block holds");
      CHECK_MSG(std::ranges::adjacent_find(row.entry->locations, is_unordered) == row.entry->locations.end(),
                "a pool holds a content twice");
    }
    CHECK(num_taken == segment.num_taken);
  }
}

}  // namespace caudal
