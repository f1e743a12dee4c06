// The CPU's CopyStream: a thread that copies while the step thread computes. Calls of the backend are done when they
// return, so there is nothing to be ordered but the wait for the thread.
#pragma once

#include <atomic>
#include <thread>

#include "common/queue.h"
#include "kernels/copy_stream.h"

namespace caudal {

// In order: a copy may read what an earlier one wrote.
void copy_blocks_now(std::span<const BlockPair> pairs, const Tensor& from, const Tensor& to);

class CpuCopyStream final : public CopyStream {
 public:
  ~CpuCopyStream() override;

  std::uint64_t num_done() override { return num_done_.load(std::memory_order_acquire); }
  void join(std::uint64_t count) override { wait(count); }
  void wait(std::uint64_t count) override;

 protected:
  void queue(BlockCopies copies) override;

 private:
  void run();

  Queue<BlockCopies> queue_{64};
  std::atomic<std::uint64_t> num_done_{0};
  std::thread thread_;  // from the first copies on
};

}  // namespace caudal
