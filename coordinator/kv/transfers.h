// Transfers: KV blocks of a replica on their way between its device and its host memory. A transfer holds its sources
// and destinations until its end, so that sequences may come and go meanwhile, and publishes what has arrived. It is
// due with the next plan, and may take any number of steps.
// Owned by a KvManager, engine thread only; holds ids, never memory.
#pragma once

#include <utility>
#include <vector>

#include "coordinator/kv/block_pool.h"

namespace caudal {

// A block that is to be copied, and what it holds.
template <Tier from>
struct TransferSource {
  BlockIdOf<from> block = 0;
  BlockContent content;
};

// Those that start with a plan.
struct DueTransfers {
  std::vector<TransferToHost> to_host;
  std::vector<TransferFromHost> from_host;

  bool empty() const { return to_host.empty() && from_host.empty(); }
};

class Transfers {
 public:
  // Both outlive it.
  Transfers(BlockPool<Tier::kDevice>& device, BlockPool<Tier::kHost>& host) : device_(device), host_(host) {}

  // Copies blocks out. There are as many free blocks in host memory.
  TransferId to_host(const std::vector<TransferSource<Tier::kDevice>>& sources);
  // Brings blocks back into `destinations`, as many, which the caller holds as well. `publish`: others may find them.
  TransferId from_host(const std::vector<TransferSource<Tier::kHost>>& sources,
                       const std::vector<BlockId>& destinations, bool publish);

  // Those to be started by the next plan; once.
  DueTransfers take_due() {
    last_told_ = last_id_;
    return std::exchange(due_, {});
  }
  bool are_due() const { return !due_.empty(); }
  std::int32_t num_running() const { return static_cast<std::int32_t>(to_host_.size() + from_host_.size()); }
  bool is_running(TransferId id) const;
  bool is_source(BlockId block) const;  // of one to the host
  // Blocks of the device that are held by nothing else: they are free when the transfers have ended.
  std::int32_t num_departing() const;

  // It has ended. False: no plan has started one with this id, or its end is known.
  bool end(TransferId id);
  // The replica is gone: nothing has arrived.
  void drop_all();

  // Adds one for every reference that a transfer holds.
  void count_references(IndexedVector<BlockId, std::int32_t>& device,
                        IndexedVector<HostBlockId, std::int32_t>& host) const;

 private:
  template <Tier from, Tier to>
  struct Running {
    Transfer<from, to> transfer;
    std::vector<BlockContent> contents;  // of the copies; empty: nothing is published
  };
  template <Tier from, Tier to>
  static bool end(TransferId id, std::vector<Running<from, to>>& running, BlockPool<from>& sources,
                  BlockPool<to>& destinations, bool has_arrived);

  BlockPool<Tier::kDevice>& device_;
  BlockPool<Tier::kHost>& host_;
  DueTransfers due_;
  std::vector<Running<Tier::kDevice, Tier::kHost>> to_host_;  // by age, those that are due included
  std::vector<Running<Tier::kHost, Tier::kDevice>> from_host_;
  TransferId last_id_ = 0;
  TransferId last_told_ = 0;  // to a plan
};

}  // namespace caudal
