// A backend whose copies beside the steps end when a test says so: they are made at the last moment, so what is read
// too late or written too early shows.
#pragma once

#include <atomic>
#include <vector>

#include "tests/kernels/waiting_backend.h"

namespace caudal {

// How many copies of one stream may end. Any thread.
class CopyGate {
 public:
  void open(std::uint64_t count) {
    count_ = count;
    count_.notify_all();
  }
  std::uint64_t count() const { return count_; }
  void wait(std::uint64_t count) const {
    for (std::uint64_t open = count_; open < count; open = count_) count_.wait(open);
  }

 private:
  std::atomic<std::uint64_t> count_{0};
};

class LateCopyStream final : public CopyStream {
 public:
  LateCopyStream(Backend& backend, const CopyGate& gate) : backend_(backend), gate_(gate) {}

  std::uint64_t num_done() override {
    for (; num_done_ < std::min<std::uint64_t>(gate_.count(), copies_.size()); ++num_done_) {
      const BlockCopies& next = copies_[num_done_];
      for (const auto& [from, to] : next.tensors) backend_.copy_blocks(next.pairs, from, to);
    }
    return num_done_;
  }
  void join(std::uint64_t count) override { wait(count); }
  void wait(std::uint64_t count) override {
    gate_.wait(count);
    num_done();
  }

 protected:
  void queue(BlockCopies copies) override { copies_.push_back(std::move(copies)); }

 private:
  Backend& backend_;
  const CopyGate& gate_;
  std::vector<BlockCopies> copies_;
  std::uint64_t num_done_ = 0;
};

class LateCopiesBackend final : public WaitingBackend {
 public:
  // The gate outlives it.
  LateCopiesBackend(std::unique_ptr<Backend> backend, const CopyGate& gate)
      : WaitingBackend(std::move(backend)), gate_(gate) {}

  std::unique_ptr<CopyStream> make_copy_stream() override { return std::make_unique<LateCopyStream>(*this, gate_); }

 private:
  const CopyGate& gate_;
};

}  // namespace caudal
