#include "coordinator/kv/block_index.h"

#include <algorithm>
#include <utility>

#include "common/check.h"

namespace caudal {

namespace {

// The keyed hash spreads contents, and an odd factor its groups.
std::size_t spread(BlockHash hash, std::size_t group) { return hash + group * 0x9e3779b97f4a7c15ULL; }

}  // namespace

std::size_t BlockIndex::bucket_of(const BlockContent& content) const {
  return spread(content.hash, content.group) & (buckets_.size() - 1);
}

BlockIndex::Entry** BlockIndex::link(const BlockContent& content) {
  Entry** link = &buckets_[bucket_of(content)];
  while (*link != nullptr && !((*link)->content == content)) link = &(*link)->next;
  return link;
}

const BlockIndex::Entry* BlockIndex::find_entry(const BlockContent& content) const {
  const Entry* entry = buckets_[bucket_of(content)];
  while (entry != nullptr && !(entry->content == content)) entry = entry->next;
  return entry;
}

void BlockIndex::fetch(std::span<const BlockHash> hashes, std::size_t group) const {
  const std::size_t mask = buckets_.size() - 1;
  for (const BlockHash hash : hashes) __builtin_prefetch(&buckets_[spread(hash, group) & mask]);
  for (const BlockHash hash : hashes) __builtin_prefetch(buckets_[spread(hash, group) & mask]);
}

BlockIndex::Entry* BlockIndex::make_entry(const BlockContent& content) {
  if (unused_ == nullptr) return &entries_.emplace_back(Entry{.content = content});
  Entry* entry = std::exchange(unused_, unused_->next);
  entry->content = content;
  entry->next = nullptr;
  return entry;
}

// Doubles the buckets, so that a chain has about one entry.
void BlockIndex::grow() {
  std::vector<Entry*> before(2 * buckets_.size());
  std::swap(before, buckets_);
  for (Entry* entry : before) {
    while (entry != nullptr) {
      Entry*& head = buckets_[bucket_of(entry->content)];
      Entry* const next = std::exchange(entry->next, head);
      head = std::exchange(entry, next);
    }
  }
}

BlockIndex::Entry* BlockIndex::insert(const BlockContent& content, const BlockLocation& location) {
  if (num_entries_ == buckets_.size()) grow();
  Entry*& entry = *link(content);
  if (entry == nullptr) {
    entry = make_entry(content);
    ++num_entries_;
  }
  Locations& locations = entry->locations;
  const auto position = std::ranges::lower_bound(locations, location.pool, {}, &BlockLocation::pool);
  if (position != locations.end() && position->pool == location.pool) return nullptr;
  locations.insert(position, location);
  return entry;
}

void BlockIndex::erase(const Entry& entry, PoolId pool) {
  Entry*& found = *link(entry.content);
  CHECK(found == &entry);
  Locations& locations = found->locations;
  const auto position = std::ranges::lower_bound(locations, pool, {}, &BlockLocation::pool);
  CHECK(position != locations.end() && position->pool == pool);
  locations.erase(position);
  if (!locations.empty()) return;
  Entry* const last = std::exchange(found, found->next);
  last->next = std::exchange(unused_, last);
  --num_entries_;
}

std::optional<BlockId> BlockIndex::find(const BlockContent& content, PoolId pool) const {
  const Entry* entry = find_entry(content);
  if (entry == nullptr) return std::nullopt;
  const auto position = std::ranges::lower_bound(entry->locations, pool, {}, &BlockLocation::pool);
  if (position == entry->locations.end() || position->pool != pool) return std::nullopt;
  return position->block;
}

std::vector<PrefixHolder> BlockIndex::find_holders(const Prefix& prefix, std::size_t max_holders,
                                                   std::uint64_t turn) const {
  std::vector<PrefixHolder> holders;
  fetch(prefix.hashes.first(prefix.num_findable()), 0);
  for (std::size_t num_blocks = prefix.num_findable(); num_blocks > 0 && holders.size() < max_holders; --num_blocks) {
    const Entry* entry = find_entry(prefix.content(num_blocks - 1));
    if (entry == nullptr) continue;
    const Locations& locations = entry->locations;
    // Each turn of the loop meets a new replica or one of the few known ones, so it is short.
    for (std::size_t i = 0; i < locations.size() && holders.size() < max_holders; ++i) {
      const ReplicaId replica = locations[(turn + i) % locations.size()].pool.replica;
      if (std::ranges::find(holders, replica, &PrefixHolder::replica) == holders.end())
        holders.push_back({replica, static_cast<std::int32_t>(num_blocks)});
    }
  }
  return holders;
}

std::size_t BlockIndex::num_locations() const {
  std::size_t num_locations = 0;
  for (const Entry* bucket : buckets_) {
    for (const Entry* entry = bucket; entry != nullptr; entry = entry->next) num_locations += entry->locations.size();
  }
  return num_locations;
}

void BlockIndex::check_integrity() const {
  const auto is_unordered = [](const BlockLocation& a, const BlockLocation& b) { return a.pool >= b.pool; };
  std::size_t num_entries = 0;
  for (const Entry* bucket : buckets_) {
    for (const Entry* entry = bucket; entry != nullptr; entry = entry->next) {
      ++num_entries;
      CHECK_MSG(find_entry(entry->content) == entry, "an entry cannot be found, or stands twice");
      CHECK_MSG(!entry->locations.empty(), "a content that no block holds");
      CHECK_MSG(std::ranges::adjacent_find(entry->locations, is_unordered) == entry->locations.end(),
                "a pool holds a content twice");
    }
  }
  CHECK(num_entries == num_entries_);
}

}  // namespace caudal
