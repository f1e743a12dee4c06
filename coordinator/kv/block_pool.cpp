#include "coordinator/kv/block_pool.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

BlockPool::BlockPool(BlockIndex& index, PoolId id, std::int32_t num_blocks)
    : index_(index), id_(id), blocks_(static_cast<std::size_t>(std::max(num_blocks, 0)) + 1) {
  const BlockId sentinel = this->num_blocks();
  blocks_[sentinel].previous = blocks_[sentinel].next = sentinel;
  for (BlockId block = 0; block < sentinel; ++block) insert_free(block, sentinel);
}

BlockId BlockPool::allocate() {
  CHECK(num_free_ > 0);
  const BlockId id = blocks_[num_blocks()].next;
  MUTANT_OMITS(block_stays_free, remove_free(id));
  blocks_[id].num_references = 1;
  MUTANT_OMITS(reused_block_found, unpublish(id));
  return id;
}

void BlockPool::retain(BlockId id) {
  if (blocks_[id].num_references++ == 0) remove_free(id);
}

void BlockPool::release(BlockId id) {
  CHECK(blocks_[id].num_references > 0);
  const bool is_held = --blocks_[id].num_references > 0;
  if (MUTANT(block_never_freed, is_held, is_held || id % 7 == 3)) return;
  // A published block is worth keeping: it queues at the end, a plain one is taken next.
  const BlockId sentinel = num_blocks();
  insert_free(id, blocks_[id].is_published() ? sentinel : blocks_[sentinel].next);
}

void BlockPool::publish(BlockId id, const BlockContent& content) {
  CHECK(blocks_[id].num_references > 0);
  if (!blocks_[id].is_published()) blocks_[id].entry = index_.insert(content, {id_, id});
}

void BlockPool::insert_free(BlockId id, BlockId before) {
  Block& block = blocks_[id];
  block.next = before;
  block.previous = blocks_[before].previous;
  blocks_[block.previous].next = id;
  blocks_[before].previous = id;
  ++num_free_;
  if (block.is_published()) ++num_cached_;
}

void BlockPool::remove_free(BlockId id) {
  Block& block = blocks_[id];
  blocks_[block.previous].next = block.next;
  blocks_[block.next].previous = block.previous;
  block.previous = block.next = kNone;
  --num_free_;
  if (block.is_published()) --num_cached_;
}

void BlockPool::unpublish(BlockId id) {
  CHECK(blocks_[id].num_references > 0);
  if (blocks_[id].is_published()) index_.erase(*std::exchange(blocks_[id].entry, nullptr), id_);
}

void BlockPool::unpublish_all() {
  for (Block& block : blocks_) {
    if (block.is_published()) index_.erase(*std::exchange(block.entry, nullptr), id_);
  }
  num_cached_ = 0;
}

std::size_t BlockPool::check_integrity() const {
  std::int32_t num_free = 0;
  std::int32_t num_cached = 0;
  const BlockId sentinel = num_blocks();
  for (BlockId id = blocks_[sentinel].next; id != sentinel; id = blocks_[id].next) {
    CHECK(blocks_[id].num_references == 0);
    CHECK(blocks_[blocks_[id].next].previous == id);
    ++num_free;
    num_cached += blocks_[id].is_published() ? 1 : 0;
    CHECK_MSG(num_free <= num_blocks(), "the free list has a cycle");
  }
  CHECK(num_free == num_free_);
  CHECK(num_cached == num_cached_);
  const auto referenced =
      std::count_if(blocks_.begin(), blocks_.end() - 1, [](const Block& b) { return b.num_references > 0; });
  CHECK_MSG(referenced + num_free == num_blocks(), "a block is neither free nor held");
  std::size_t num_published = 0;
  for (BlockId id = 0; id < sentinel; ++id) {
    if (!blocks_[id].is_published()) continue;
    ++num_published;
    CHECK_MSG(lookup(blocks_[id].entry->content) == id, "a published block is not found, or another one in its place");
  }
  return num_published;
}

}  // namespace caudal
