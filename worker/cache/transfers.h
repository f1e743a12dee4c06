// RankTransfers: a rank's part of the transfers of the plans (common/types.h): KV blocks that are copied between the
// device and host memory beside the steps. Owned by the runner, used by the step thread.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "worker/cache/kv_cache.h"

namespace caudal {

class RankTransfers {
 public:
  // All of them outlive it.
  RankTransfers(Backend& backend, const KvCache& device, const KvCache& host)
      : device_(device), host_(host), stream_(backend.make_copy_stream()) {}

  // Starts those of the plan, behind what was computed before.
  void start(const StepPlan& plan);

  // What is computed from now on finds these done. An Error when one is unknown.
  Result<void> join(const std::vector<TransferId>& confirmed);

  // Those that have ended since it was last asked.
  std::vector<TransferId> take_ended();
  // Whether there are any.
  bool has_ended() { return num_told_ < stream_->num_done(); }
  // Waits for that, if any is under way.
  void wait_for_end();

  // Waits for all, and forgets them: a new epoch begins.
  void clear();

 private:
  void start(TransferId id, BlockCopies copies);

  const KvCache& device_;
  const KvCache& host_;
  std::unique_ptr<CopyStream> stream_;
  std::uint64_t num_told_ = 0;       // of those that were started; as they are started in order, the first ones
  std::uint64_t num_forgotten_ = 0;  // of them, in front of ids_
  std::deque<TransferId> ids_;       // in the order of their start
};

}  // namespace caudal
