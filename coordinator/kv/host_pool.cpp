#include "coordinator/kv/host_pool.h"

#include <algorithm>

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

HostPool::HostPool(ReplicaId replica, std::int32_t num_blocks) : replica_(replica), num_blocks_(num_blocks) {
  for (BlockId block = num_blocks - 1; block >= 0; --block) free_.push_back(block);
}

bool HostPool::store(const BlockTable& table, std::int32_t num_tokens, HostCopy& copy) {
  const std::int32_t num_in_use = MUTANT(part_block_stays, blocks_for(num_tokens), num_tokens / kBlockSize);
  const std::int32_t num_needed = num_in_use - table.num_dropped;
  if (num_needed > num_blocks_) return false;
  while (num_needed > num_free()) drop(*copies_.begin()->second);
  copy = {.replica = replica_,
          .num_tokens = num_tokens,
          .num_dropped = table.num_dropped,
          .blocks = {},
          .age = ++last_age_};
  copy.blocks.assign(static_cast<std::size_t>(table.num_dropped), kNoBlock);
  for (std::int32_t i = table.num_dropped; i < num_in_use; ++i) {
    copy.blocks.push_back(free_.back());
    free_.pop_back();
    due_.push_back({.source = table.blocks[static_cast<std::size_t>(i)], .destination = copy.blocks.back()});
  }
  copies_.emplace(copy.age, &copy);
  return true;
}

std::vector<BlockCopy> HostPool::restore(HostCopy& copy, const BlockTable& table, std::int32_t num_present) {
  std::vector<BlockCopy> back;
  for (auto i = static_cast<std::size_t>(std::max(num_present, copy.num_dropped)); i < copy.blocks.size(); ++i) {
    back.push_back({.source = copy.blocks[i], .destination = table.blocks[i]});
  }
  forget(copy);
  return back;
}

// Of a copy that was not made yet nothing is left to be done.
void HostPool::drop(HostCopy& copy) {
  const auto is_given_up = [&](const BlockCopy& due) { return std::ranges::count(copy.blocks, due.destination) > 0; };
  MUTANT_OMITS(given_up_copy_made, std::erase_if(due_, is_given_up));
  forget(copy);
}

void HostPool::drop_all() {
  while (!copies_.empty()) drop(*copies_.begin()->second);
}

void HostPool::forget(HostCopy& copy) {
  CHECK(copy.exists() && copy.replica == replica_ && copies_.erase(copy.age) == 1);
  for (auto block = copy.blocks.rbegin(); block != copy.blocks.rend(); ++block) {
    if (*block != kNoBlock && MUTANT(host_block_leaks, true, *block % 5 != 3)) free_.push_back(*block);
  }
  copy = {};
}

void HostPool::check_integrity() const {
  std::vector<std::int32_t> num_holders(static_cast<std::size_t>(num_blocks_), 0);
  for (const BlockId block : free_) ++num_holders.at(static_cast<std::size_t>(block));
  std::vector<bool> is_stored(num_holders.size(), false);
  for (const auto& [age, copy] : copies_) {
    CHECK(copy->exists() && copy->replica == replica_ && copy->age == age);
    CHECK(std::ssize(copy->blocks) == blocks_for(copy->num_tokens));
    for (const BlockId block : copy->blocks) {
      if (block == kNoBlock) continue;
      ++num_holders.at(static_cast<std::size_t>(block));
      is_stored[static_cast<std::size_t>(block)] = true;
    }
  }
  CHECK_MSG(std::ranges::all_of(num_holders, [](std::int32_t n) { return n == 1; }),
            "a host block is lost, or has two owners");
  for (const BlockCopy& copy : due_) {
    CHECK_MSG(is_stored.at(static_cast<std::size_t>(copy.destination)),
              "a copy is due to a host block that nobody has");
    is_stored[static_cast<std::size_t>(copy.destination)] = false;  // once
  }
}

}  // namespace caudal
