#include "coordinator/kv/host_pool.h"

#include <algorithm>

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

HostPool::HostPool(ReplicaId replica, std::int32_t num_blocks, std::int32_t num_groups)
    : replica_(replica), num_blocks_(num_blocks), num_groups_(num_groups) {
  for (std::int32_t block = num_blocks - 1; block >= 0; --block) free_.push_back(HostBlockId::of(block));
}

bool HostPool::store(const BlockTable& table, std::int32_t num_tokens, HostCopy& copy) {
  const std::int32_t num_in_use = MUTANT(part_block_stays, blocks_for(num_tokens), num_tokens / kBlockSize);
  const std::vector<BlockId> sources(table.blocks.begin(), table.blocks.begin() + num_in_use * num_groups_);
  const std::int64_t num_needed = std::ssize(sources) - std::ranges::count(sources, kNoBlock);
  if (num_needed > num_blocks_) return false;
  while (num_needed > num_free()) drop(*copies_.begin()->second);
  copy = {
      .replica = replica_, .num_tokens = num_tokens, .num_passed = table.num_passed, .blocks = {}, .age = ++last_age_};
  for (const BlockId source : sources) {
    copy.blocks.push_back(kNoHostBlock);
    if (source == kNoBlock) continue;
    copy.blocks.back() = free_.back();
    free_.pop_back();
    due_.push_back({.source = source, .destination = copy.blocks.back()});
  }
  copies_.emplace(copy.age, &copy);
  return true;
}

std::vector<CopyFromHost> HostPool::restore(HostCopy& copy, const BlockTable& table, std::int32_t num_present) {
  std::vector<CopyFromHost> back;
  for (auto i = static_cast<std::size_t>(num_present * num_groups_); i < copy.blocks.size(); ++i) {
    if (copy.blocks[i] != kNoHostBlock) back.push_back({.source = copy.blocks[i], .destination = table.blocks[i]});
  }
  forget(copy);
  return back;
}

// Of a copy that was not made yet nothing is left to be done.
void HostPool::drop(HostCopy& copy) {
  const auto is_given_up = [&](const CopyToHost& due) { return std::ranges::count(copy.blocks, due.destination) > 0; };
  MUTANT_OMITS(given_up_copy_made, std::erase_if(due_, is_given_up));
  forget(copy);
}

void HostPool::drop_all() {
  while (!copies_.empty()) drop(*copies_.begin()->second);
}

void HostPool::forget(HostCopy& copy) {
  CHECK(copy.exists() && copy.replica == replica_ && copies_.erase(copy.age) == 1);
  for (auto block = copy.blocks.rbegin(); block != copy.blocks.rend(); ++block) {
    if (*block != kNoHostBlock && MUTANT(host_block_leaks, true, block->value() % 5 != 3)) free_.push_back(*block);
  }
  copy = {};
}

void HostPool::check_integrity() const {
  IndexedVector<HostBlockId, std::int32_t> num_holders(num_blocks_);
  for (const HostBlockId block : free_) ++num_holders.at(block);
  IndexedVector<HostBlockId, bool> is_stored(num_blocks_);
  for (const auto& [age, copy] : copies_) {
    CHECK(copy->exists() && copy->replica == replica_ && copy->age == age);
    CHECK(std::ssize(copy->blocks) == blocks_for(copy->num_tokens) * num_groups_);
    for (const HostBlockId block : copy->blocks) {
      if (block == kNoHostBlock) continue;
      ++num_holders.at(block);
      is_stored[block] = true;
    }
  }
  CHECK_MSG(std::ranges::all_of(num_holders, [](std::int32_t n) { return n == 1; }),
            "a host block is lost, or has two owners");
  for (const CopyToHost& copy : due_) {
    CHECK_MSG(is_stored.at(copy.destination), "a copy is due to a host block that nobody has");
    is_stored[copy.destination] = false;  // once
  }
}

}  // namespace caudal
