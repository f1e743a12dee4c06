#include "kernels/cpu/copy_stream.h"

#include <optional>
#include <utility>

namespace caudal {

CpuCopyStream::~CpuCopyStream() {
  queue_.close();
  if (thread_.joinable()) thread_.join();
}

void CpuCopyStream::queue(BlockCopies copies) {
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  queue_.push(std::move(copies));
}

void CpuCopyStream::run() {
  while (const std::optional<BlockCopies> copies = queue_.pop()) {
    for (const auto& [from, to] : copies->tensors) copy_blocks_now(copies->pairs, from, to);
    num_done_.fetch_add(1, std::memory_order_release);
    num_done_.notify_all();
  }
}

void CpuCopyStream::wait(std::uint64_t count) {
  for (std::uint64_t done = num_done(); done < count; done = num_done()) num_done_.wait(done);
}

}  // namespace caudal
