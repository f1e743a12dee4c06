#include "coordinator/kv/kv_manager.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

namespace {

std::span<const BlockId> held(const BlockTable& table) {
  return std::span(table.blocks).subspan(static_cast<std::size_t>(table.num_dropped));
}

}  // namespace

std::optional<BlockId> KvManager::find(const Prefix& prefix, std::size_t block) const {
  const std::size_t num_findable =
      MUTANT(prefix_is_whole_prompt, prefix.num_findable(), prefix.tokens.size() / kBlockSize);
  if (block >= num_findable) return std::nullopt;
  return pool_.lookup(prefix.content(block));
}

CachedPrefix KvManager::probe(const Prefix& prefix) const {
  CachedPrefix cached;
  while (const auto block = find(prefix, static_cast<std::size_t>(cached.num_blocks))) {
    ++cached.num_blocks;
    cached.num_tokens += kBlockSize;
    cached.num_free += pool_.num_references(*block) == 0 ? 1 : 0;
  }
  return cached;
}

BlockTable KvManager::match(const Prefix& prefix) {
  BlockTable table;
  while (const auto block = find(prefix, table.blocks.size())) {
    pool_.retain(*block);
    table.blocks.push_back(*block);
    ++table.num_published;
  }
  return table;
}

bool KvManager::grow(BlockTable& table, std::int32_t num_tokens) {
  const std::int32_t num_missing = MUTANT(part_block_uncounted, blocks_for(num_tokens), num_tokens / kBlockSize) -
                                   static_cast<std::int32_t>(table.blocks.size());
  if (MUTANT(last_block_unused, num_missing > pool_.num_free(), num_missing >= pool_.num_free())) return false;
  for (std::int32_t i = 0; i < num_missing; ++i) table.blocks.push_back(pool_.allocate());
  return true;
}

std::optional<Fork> KvManager::fork(const BlockTable& parent, std::int32_t num_tokens) {
  const std::int32_t num_full = num_tokens / kBlockSize;
  const bool has_partial = num_tokens % kBlockSize != 0;
  CHECK(blocks_for(num_tokens) <= static_cast<std::int32_t>(parent.blocks.size()));
  if (has_partial && pool_.num_free() == 0) return std::nullopt;
  Fork fork{.table = {.blocks = {parent.blocks.begin(), parent.blocks.begin() + num_full},
                      .num_dropped = std::min(parent.num_dropped, num_full),
                      .num_published = std::min(parent.num_published, num_full)},
            .copy = std::nullopt};
  for (const BlockId block : held(fork.table)) pool_.retain(block);
  if (has_partial) {
    fork.copy = BlockCopy{.source = parent.blocks[num_full], .destination = pool_.allocate()};
    fork.table.blocks.push_back(fork.copy->destination);
  }
  return fork;
}

void KvManager::publish(BlockTable& table, const Prefix& prefix, std::int32_t num_computed) {
  for (; (table.num_published + 1) * kBlockSize <= num_computed; ++table.num_published) {
    const auto block = static_cast<std::size_t>(table.num_published);
    pool_.publish(table.blocks[block], prefix.content(block));
  }
}

void KvManager::disown(const BlockTable& table) {
  for (const BlockId block : held(table)) pool_.unpublish(block);
}

void KvManager::drop(BlockTable& table, std::int32_t num_blocks) {
  for (; table.num_dropped < num_blocks; ++table.num_dropped) {
    pool_.release(std::exchange(table.blocks[static_cast<std::size_t>(table.num_dropped)], kNoBlock));
  }
}

std::int32_t KvManager::num_exclusive(const BlockTable& table) const {
  const auto is_exclusive = [&](BlockId block) { return pool_.num_references(block) == 1; };
  return static_cast<std::int32_t>(std::ranges::count_if(held(table), is_exclusive));
}

void KvManager::release(BlockTable& table) {
  const std::span<const BlockId> blocks = held(table);
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) pool_.release(*block);
  MUTANT_ADDS(block_freed_twice, if (blocks.size() == 3) pool_.release(blocks.front()));
  table = {};
}

}  // namespace caudal
