#include "coordinator/kv/block_pool.h"

#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

template <Tier tier>
BlockPool<tier>::BlockPool(BlockIndex& index, ReplicaId replica, std::int32_t num_blocks)
    : index_(index), id_{replica, tier}, blocks_(std::max(num_blocks, 0) + 1) {
  blocks_[sentinel()].previous = blocks_[sentinel()].next = sentinel();
  for (const Id block : ids()) insert_free(block, sentinel());
}

template <Tier tier>
typename BlockPool<tier>::Id BlockPool<tier>::allocate() {
  CHECK(num_free_ > 0);
  const Id id = blocks_[sentinel()].next;
  MUTANT_OMITS(block_stays_free, remove_free(id));
  blocks_[id].num_references = 1;
  MUTANT_OMITS(reused_block_found, unpublish(id));
  return id;
}

template <Tier tier>
void BlockPool<tier>::retain(Id id) {
  if (blocks_[id].num_references++ == 0) remove_free(id);
}

template <Tier tier>
void BlockPool<tier>::release(Id id) {
  CHECK(blocks_[id].num_references > 0);
  const bool is_held = --blocks_[id].num_references > 0;
  if (MUTANT(block_never_freed, is_held, is_held || id.value() % 7 == 3)) return;
  // A published block is worth keeping: it queues at the end, a plain one is taken next.
  insert_free(id, blocks_[id].is_published() ? sentinel() : blocks_[sentinel()].next);
}

template <Tier tier>
void BlockPool<tier>::publish(Id id, const BlockContent& content) {
  CHECK(blocks_[id].num_references > 0);
  if (blocks_[id].is_published()) return;
  blocks_[id].entry = index_.insert(content, {id_, id.value()});
  if (blocks_[id].is_published()) ++num_published_;
}

template <Tier tier>
void BlockPool<tier>::insert_free(Id id, Id before) {
  Block& block = blocks_[id];
  block.next = before;
  block.previous = blocks_[before].previous;
  blocks_[block.previous].next = id;
  blocks_[before].previous = id;
  ++num_free_;
  if (block.is_published()) ++num_cached_;
}

template <Tier tier>
void BlockPool<tier>::remove_free(Id id) {
  Block& block = blocks_[id];
  blocks_[block.previous].next = block.next;
  blocks_[block.next].previous = block.previous;
  block.previous = block.next = kNone;
  --num_free_;
  if (block.is_published()) --num_cached_;
}

template <Tier tier>
void BlockPool<tier>::unpublish(Id id) {
  CHECK(blocks_[id].num_references > 0);
  if (!blocks_[id].is_published()) return;
  index_.erase(*std::exchange(blocks_[id].entry, nullptr), id_);
  --num_published_;
}

template <Tier tier>
void BlockPool<tier>::unpublish_all() {
  for (Block& block : blocks_) {
    if (block.is_published()) index_.erase(*std::exchange(block.entry, nullptr), id_);
  }
  num_cached_ = num_published_ = 0;
}

template <Tier tier>
std::size_t BlockPool<tier>::check_integrity() const {
  std::int32_t num_free = 0;
  std::int32_t num_cached = 0;
  for (Id id = blocks_[sentinel()].next; id != sentinel(); id = blocks_[id].next) {
    CHECK(blocks_[id].num_references == 0);
    CHECK(blocks_[blocks_[id].next].previous == id);
    ++num_free;
    num_cached += blocks_[id].is_published() ? 1 : 0;
    CHECK_MSG(num_free <= num_blocks(), "the free list has a cycle");
  }
  CHECK(num_free == num_free_);
  CHECK(num_cached == num_cached_);
  const auto num_held =
      std::count_if(blocks_.begin(), blocks_.end() - 1, [](const Block& b) { return b.num_references > 0; });
  CHECK_MSG(num_held + num_free == num_blocks(), "a block is neither free nor held");
  std::size_t num_published = 0;
  for (const Id id : ids()) {
    if (!blocks_[id].is_published()) continue;
    ++num_published;
    CHECK_MSG(lookup(blocks_[id].entry->content) == id, "a published block is not found, or another one in its place");
  }
  CHECK(num_published == static_cast<std::size_t>(num_published_));
  return num_published;
}

template class BlockPool<Tier::kDevice>;
template class BlockPool<Tier::kHost>;

}  // namespace caudal
