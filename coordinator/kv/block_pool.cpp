#include "coordinator/kv/block_pool.h"

#include <algorithm>
#include <bit>

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

BlockPool::BlockPool(std::int32_t num_blocks)
    : blocks_(static_cast<std::size_t>(std::max(num_blocks, 0)) + 1),
      contents_(blocks_.size()),
      buckets_(std::bit_ceil(blocks_.size()), kNone) {
  const BlockId sentinel = this->num_blocks();
  blocks_[sentinel].previous = blocks_[sentinel].next = sentinel;
  for (BlockId id = 0; id < sentinel; ++id) insert_free(id, sentinel);
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
  insert_free(id, blocks_[id].published ? sentinel : blocks_[sentinel].next);
}

void BlockPool::publish(BlockId id, BlockHash parent, BlockHash hash, BlockTokens tokens) {
  CHECK(blocks_[id].num_references > 0);
  if (blocks_[id].published || lookup(parent, hash, tokens)) return;
  contents_[id].parent = parent;
  contents_[id].hash = hash;
  std::copy(tokens.begin(), tokens.end(), contents_[id].tokens.begin());
  blocks_[id].published = true;
  blocks_[id].next_in_bucket = bucket(hash);
  bucket(hash) = id;
}

std::optional<BlockId> BlockPool::lookup(BlockHash parent, BlockHash hash, BlockTokens tokens) const {
  for (BlockId id = bucket(hash); id != kNone; id = blocks_[id].next_in_bucket) {
    const Content& content = contents_[id];
    if (content.hash == hash && content.parent == parent && std::ranges::equal(content.tokens, tokens)) return id;
  }
  return std::nullopt;
}

void BlockPool::insert_free(BlockId id, BlockId before) {
  Block& block = blocks_[id];
  block.next = before;
  block.previous = blocks_[before].previous;
  blocks_[block.previous].next = id;
  blocks_[before].previous = id;
  ++num_free_;
  if (block.published) ++num_cached_;
}

void BlockPool::remove_free(BlockId id) {
  Block& block = blocks_[id];
  blocks_[block.previous].next = block.next;
  blocks_[block.next].previous = block.previous;
  block.previous = block.next = kNone;
  --num_free_;
  if (block.published) --num_cached_;
}

void BlockPool::unpublish(BlockId id) {
  CHECK(blocks_[id].num_references > 0);
  if (!blocks_[id].published) return;
  BlockId* link = &bucket(contents_[id].hash);
  while (*link != id) link = &blocks_[*link].next_in_bucket;
  *link = blocks_[id].next_in_bucket;
  blocks_[id].next_in_bucket = kNone;
  blocks_[id].published = false;
}

void BlockPool::check_integrity() const {
  std::int32_t num_free = 0;
  std::int32_t num_cached = 0;
  const BlockId sentinel = num_blocks();
  for (BlockId id = blocks_[sentinel].next; id != sentinel; id = blocks_[id].next) {
    CHECK(blocks_[id].num_references == 0);
    CHECK(blocks_[blocks_[id].next].previous == id);
    ++num_free;
    num_cached += blocks_[id].published ? 1 : 0;
    CHECK_MSG(num_free <= num_blocks(), "the free list has a cycle");
  }
  CHECK(num_free == num_free_);
  CHECK(num_cached == num_cached_);
  const auto referenced =
      std::count_if(blocks_.begin(), blocks_.end() - 1, [](const Block& b) { return b.num_references > 0; });
  CHECK_MSG(referenced + num_free == num_blocks(), "a block is neither free nor held");
  std::int32_t num_published = 0;
  for (const BlockId head : buckets_) {
    for (BlockId id = head; id != kNone; id = blocks_[id].next_in_bucket) {
      CHECK(blocks_[id].published);
      ++num_published;
    }
  }
  CHECK(num_published == std::ranges::count_if(blocks_, [](const Block& b) { return b.published; }));
}

}  // namespace caudal
