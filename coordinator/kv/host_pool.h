// HostPool: the ids of the KV blocks in the host memory of one replica, and which preempted sequence has what there
// (KV swap). Copies to the host are due with the replica's next plan, before anything else that it does, so the
// KV blocks that they read may be handed out at once. When there is no room, the oldest copies give way: their
// sequences are computed again. Holds ids, never memory. Owned by the scheduler's Replica; engine thread.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "coordinator/kv/kv_manager.h"

namespace caudal {

inline constexpr HostBlockId kNoHostBlock = -1;

// What a waiting sequence has in the host memory of the replica that it ran on. Lives in the sequence; changes
// only through its HostPool.
struct HostCopy {
  ReplicaId replica = 0;
  std::int32_t num_tokens = 0;      // leading ones, computed; 0: there is no copy
  std::int32_t num_passed = 0;      // of the table that was copied
  std::vector<HostBlockId> blocks;  // in the order of the table; kNoHostBlock where nothing reads them any more
  std::uint64_t age = 0;            // smaller is older

  bool exists() const { return num_tokens > 0; }
};

class HostPool {
 public:
  HostPool(ReplicaId replica, std::int32_t num_blocks, std::int32_t num_groups);

  std::int32_t num_blocks() const { return num_blocks_; }
  std::int32_t num_free() const { return static_cast<std::int32_t>(free_.size()); }
  std::int32_t num_copies() const { return static_cast<std::int32_t>(copies_.size()); }

  // Copies the blocks of the first `num_tokens` tokens out. False: larger than the whole pool, nothing changed.
  bool store(const BlockTable& table, std::int32_t num_tokens, HostCopy& copy);

  // Brings the copy back into a table that holds its first `num_present` blocks of each group already: the copies to be
  // made, host block to KV block. The copy is gone then.
  std::vector<CopyFromHost> restore(HostCopy& copy, const BlockTable& table, std::int32_t num_present);

  void drop(HostCopy& copy);
  void drop_all();

  // The copies to be made by the next plan, KV block to host block.
  std::vector<CopyToHost> take_due() { return std::exchange(due_, {}); }

  void check_integrity() const;

 private:
  void forget(HostCopy& copy);

  const ReplicaId replica_;
  const std::int32_t num_blocks_;
  const std::int32_t num_groups_;
  std::vector<HostBlockId> free_;              // the last one goes first
  std::map<std::uint64_t, HostCopy*> copies_;  // by age
  std::vector<CopyToHost> due_;
  std::uint64_t last_age_ = 0;
};

}  // namespace caudal
