#include "coordinator/kv/kv_manager.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

// The longest prefix of which every group has the blocks that a query behind it reads.
std::int32_t KvManager::num_matching(const Prefix& prefix, Tiers tiers) const {
  const auto num_findable = MUTANT(prefix_is_whole_prompt, prefix.num_findable(),
                                   static_cast<std::int32_t>(prefix.tokens.size() / kBlockSize));
  std::int32_t num_matching = 0;
  std::vector<std::int32_t> num_in_a_row(windows_.size(), 0);  // found without a gap, by group
  for (std::int32_t end = 1; end <= num_findable; ++end) {
    bool is_whole = true;
    for (std::size_t group = 0; group < windows_.size(); ++group) {
      const bool is_there = is_found(prefix.content(end - 1, group), tiers);
      num_in_a_row[group] = is_there ? num_in_a_row[group] + 1 : 0;
      if (!is_there && windows_[group] == 0) return num_matching;
      is_whole &= num_in_a_row[group] >= end - hidden_blocks(windows_[group], end * kBlockSize);
    }
    if (is_whole) num_matching = end;
  }
  return num_matching;
}

CachedPrefix KvManager::probe(const Prefix& prefix, Tiers tiers) const {
  CachedPrefix cached{.num_blocks = num_matching(prefix, tiers)};
  cached.num_tokens = cached.num_blocks * kBlockSize;
  for (std::size_t group = 0; group < windows_.size(); ++group) {
    for (std::int32_t i = hidden_blocks(windows_[group], cached.num_tokens); i < cached.num_blocks; ++i) {
      const std::optional<BlockId> block = pool_.lookup(prefix.content(i, group));
      cached.num_from_host += block ? 0 : 1;
      cached.num_free += block && pool_.num_references(*block) == 0 ? 1 : 0;
    }
  }
  return cached;
}

// What is found is held before anything is allocated, which might take just that.
Match KvManager::match(const Prefix& prefix, Tiers tiers, bool publish) {
  Match match;
  BlockTable& table = match.table;
  table.num_published = num_matching(prefix, tiers);
  table.num_passed = table.num_published * kBlockSize;
  std::vector<TransferSource<Tier::kHost>> sources;
  std::vector<std::size_t> places;  // of these
  for (std::int32_t i = 0; i < table.num_published; ++i) {
    for (std::size_t group = 0; group < windows_.size(); ++group) {
      table.blocks.push_back(kNoBlock);
      if (i < num_dropped(table, group)) continue;
      const BlockContent content = prefix.content(i, group);
      if (const std::optional<BlockId> block = pool_.lookup(content)) {
        table.blocks.back() = *block;
        pool_.retain(*block);
      } else {
        sources.push_back({*host_.lookup(content), content});
        places.push_back(place(i, group));
      }
    }
  }
  std::vector<BlockId> destinations;
  destinations.reserve(places.size());
  for (const std::size_t place : places) destinations.push_back(table.blocks[place] = pool_.allocate());
  if (!sources.empty()) match.arrives = transfers_.from_host(sources, destinations, publish);
  return match;
}

bool KvManager::grow(BlockTable& table, std::int32_t num_tokens) {
  const std::int32_t missing =
      num_missing(table, MUTANT(part_block_uncounted, num_tokens, num_tokens / kBlockSize * kBlockSize));
  if (MUTANT(last_block_unused, missing > pool_.num_free(), missing > 0 && missing >= pool_.num_free())) return false;
  for (std::int32_t i = 0; i < missing; ++i) table.blocks.push_back(pool_.allocate());
  return true;
}

bool KvManager::can_fork(const BlockTable& parent, std::int32_t num_tokens) const {
  const auto has_all = [&](std::int32_t window) {
    return hidden_blocks(window, parent.num_passed) <= hidden_blocks(window, num_tokens);
  };
  return num_tokens <= capacity(parent) && std::ranges::all_of(windows_, has_all);
}

std::optional<Fork> KvManager::fork(const BlockTable& parent, std::int32_t num_tokens) {
  CHECK(can_fork(parent, num_tokens));
  const std::int32_t num_full = num_tokens / kBlockSize;
  const std::int32_t num_copied = num_tokens % kBlockSize != 0 ? num_groups() : 0;
  if (num_copied > pool_.num_free()) return std::nullopt;
  const auto partial = parent.blocks.begin() + static_cast<std::ptrdiff_t>(place(num_full, 0));
  Fork fork{.table = {.blocks = {parent.blocks.begin(), partial},
                      .num_passed = std::min(parent.num_passed, num_tokens),
                      .num_published = std::min(parent.num_published, num_full)},
            .copies = {}};
  for (const BlockId block : fork.table.blocks) {
    if (block != kNoBlock) pool_.retain(block);
  }
  for (std::int32_t group = 0; group < num_copied; ++group) {
    const BlockId copy = pool_.allocate();
    fork.copies.push_back({.source = partial[group], .destination = copy});
    fork.table.blocks.push_back(copy);
  }
  return fork;
}

void KvManager::publish(BlockTable& table, const Prefix& prefix, std::int32_t num_computed) {
  const std::int32_t num_full = num_computed / kBlockSize;
  std::int32_t& i = table.num_published;
  for (std::size_t group = 0; i < num_full && group < windows_.size(); ++group)
    pool_.fetch(prefix.hashes_of(i, num_full), group);
  for (; i < num_full; ++i) {
    for (std::size_t group = 0; group < windows_.size(); ++group) {
      const BlockId block = table.blocks[place(i, group)];
      if (block != kNoBlock) pool_.publish(block, prefix.content(i, group));
    }
  }
}

void KvManager::disown(const BlockTable& table) {
  for (const BlockId block : table.blocks) {
    if (block != kNoBlock) pool_.unpublish(block);
  }
}

void KvManager::disown_all() {
  MUTANT_OMITS(transfer_outlives_epoch, transfers_.drop_all());
  pool_.unpublish_all();
  host_.unpublish_all();
}

std::vector<TransferSource<Tier::kDevice>> KvManager::find_unsaved(const BlockTable& table, const Prefix& prefix,
                                                                   std::int32_t num_computed) const {
  std::vector<TransferSource<Tier::kDevice>> unsaved;
  const std::int32_t num_full = num_computed / kBlockSize;
  for (std::int32_t i = 0; i < num_full; ++i) {
    for (std::size_t group = 0; group < windows_.size(); ++group) {
      if (i < hidden_blocks(windows_[group], num_full * kBlockSize)) continue;
      const BlockContent content = prefix.content(i, group);
      if (host_.lookup(content)) continue;
      const BlockId block = table.blocks[place(i, group)];
      if (block == kNoBlock) return {};
      if (!transfers_.is_source(block)) unsaved.push_back({block, content});
    }
  }
  return unsaved;
}

std::int32_t KvManager::num_exclusive(const BlockTable& table) const {
  const auto is_exclusive = [&](BlockId block) { return block != kNoBlock && pool_.num_references(block) == 1; };
  return static_cast<std::int32_t>(std::ranges::count_if(table.blocks, is_exclusive));
}

void KvManager::drop_hidden(BlockTable& table, std::int32_t num_computed) {
  const std::int32_t num_passed = num_computed / kBlockSize * kBlockSize;
  for (std::size_t group = 0; group < windows_.size(); ++group) {
    for (std::int32_t i = num_dropped(table, group); i < hidden_blocks(windows_[group], num_passed); ++i) {
      BlockId& entry = table.blocks[place(i, group)];
      pool_.release(std::exchange(entry, kNoBlock));
    }
  }
  table.num_passed = std::max(table.num_passed, num_passed);
}

void KvManager::release(BlockTable& table) {
  for (auto block = table.blocks.rbegin(); block != table.blocks.rend(); ++block) {
    if (*block != kNoBlock) pool_.release(*block);
  }
  MUTANT_ADDS(block_freed_twice, if (table.num_held() == 3) pool_.release(table.blocks.back()));
  table = {};
}

}  // namespace caudal
