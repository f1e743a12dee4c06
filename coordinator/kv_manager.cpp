#include "coordinator/kv_manager.h"

#include "common/check.h"

namespace caudal {

BlockTable KvManager::match(BlockHash root, std::span<const TokenId> tokens) {
  BlockTable table{.blocks = {}, .num_published = 0, .chain = root};
  while (tokens.size() > kBlockSize) {
    const auto block_tokens = tokens.first<kBlockSize>();
    const BlockHash hash = chain_hash(key_, table.chain, block_tokens);
    const auto block = pool_.lookup(table.chain, hash, block_tokens);
    if (!block) break;
    pool_.retain(*block);
    table.blocks.push_back(*block);
    table.chain = hash;
    ++table.num_published;
    tokens = tokens.subspan(kBlockSize);
  }
  return table;
}

bool KvManager::grow(BlockTable& table, std::int32_t num_tokens) {
  const std::int32_t num_missing = blocks_for(num_tokens) - static_cast<std::int32_t>(table.blocks.size());
  if (num_missing > pool_.num_free()) return false;
  for (std::int32_t i = 0; i < num_missing; ++i) table.blocks.push_back(pool_.allocate());
  return true;
}

std::optional<Fork> KvManager::fork(const BlockTable& parent, std::int32_t num_tokens) {
  const std::int32_t num_full = num_tokens / kBlockSize;
  const bool has_partial = num_tokens % kBlockSize != 0;
  CHECK(blocks_for(num_tokens) <= static_cast<std::int32_t>(parent.blocks.size()));
  CHECK_MSG(parent.num_published <= num_full, "a block that is not full was published");
  if (has_partial && pool_.num_free() == 0) return std::nullopt;
  Fork fork{.table = {.blocks = {parent.blocks.begin(), parent.blocks.begin() + num_full},
                      .num_published = parent.num_published,
                      .chain = parent.chain},
            .copy = std::nullopt};
  for (const BlockId block : fork.table.blocks) pool_.retain(block);
  if (has_partial) {
    fork.copy = BlockCopy{.source = parent.blocks[num_full], .destination = pool_.allocate()};
    fork.table.blocks.push_back(fork.copy->destination);
  }
  return fork;
}

void KvManager::publish(BlockTable& table, std::span<const TokenId> tokens, std::int32_t num_computed) {
  for (; (table.num_published + 1) * kBlockSize <= num_computed; ++table.num_published) {
    const auto block_tokens = tokens.subspan(table.num_published * kBlockSize).first<kBlockSize>();
    const BlockHash hash = chain_hash(key_, table.chain, block_tokens);
    pool_.publish(table.blocks[table.num_published], table.chain, hash, block_tokens);
    table.chain = hash;
  }
}

void KvManager::release(BlockTable& table) {
  for (auto block = table.blocks.rbegin(); block != table.blocks.rend(); ++block) pool_.release(*block);
  table = {};
}

}  // namespace caudal
