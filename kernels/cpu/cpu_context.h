// What every CPU op is given: the threads, the instruction set to use and scratch memory. Owned by
// CpuBackend, used by its step thread only.
#pragma once

#include <hwy/targets.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/threads.h"

namespace caudal {

// Memory that grows to the largest size asked for and keeps it; its content is not preserved.
class Scratch {
 public:
  template <typename T>
  T* get(std::size_t count) {
    const std::size_t bytes = (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    if (bytes > bytes_) {
      data_.reset(std::aligned_alloc(kAlignment, bytes));
      CHECK(data_ != nullptr);
      bytes_ = bytes;
    }
    return static_cast<T*>(data_.get());
  }

 private:
  static constexpr std::size_t kAlignment = 4096;
  struct Free {
    void operator()(void* data) const { std::free(data); }
  };
  std::unique_ptr<void, Free> data_;
  std::size_t bytes_ = 0;
};

class CpuContext {
 public:
  CpuContext(std::vector<int> cores, Isa isa) : pool_(std::move(cores)), isa_(isa) {
    std::int64_t targets = hwy::SupportedTargets();
    if (isa < Isa::kAvx512) targets &= ~std::int64_t{HWY_AVX3 | HWY_AVX3_DL};
    if (isa < Isa::kAvx2) targets &= ~std::int64_t{HWY_AVX2};
    simd_.Update(targets);
    thread_scratch_.resize(num_threads());
  }
  CpuContext(int num_threads, Isa isa)  // not pinned
      : CpuContext(std::vector<int>(num_threads, -1), isa) {}

  int num_threads() const { return pool_.num_threads(); }
  Isa isa() const { return isa_; }
  const hwy::ChosenTarget& simd() const { return simd_; }  // see kernels/cpu/simd.h

  // Calls fn(begin, end) on ranges that cut [0, count) in at most num_threads parts; returns when all are done.
  template <typename Fn>
  void parallel_for(std::int64_t count, const Fn& fn) {
    const std::int64_t parts = std::min<std::int64_t>(count, num_threads());
    pool_.run(parts, [&](std::int64_t part, int) { fn(count * part / parts, count * (part + 1) / parts); });
  }

  // Calls fn(task, thread) once for each task in [0, count), each as soon as a thread is free.
  template <typename Fn>
  void parallel_tasks(std::int64_t count, const Fn& fn) {
    pool_.run(count, fn);
  }

  // Scratch of one thread, for the task it is running; and of the op, shared by its threads and asked for
  // before they start. Both are valid until asked for again.
  Scratch& thread_scratch(int thread) { return thread_scratch_[thread]; }
  Scratch& op_scratch() { return op_scratch_; }

 private:
  ThreadPool pool_;
  Isa isa_;
  hwy::ChosenTarget simd_;
  std::vector<Scratch> thread_scratch_;
  Scratch op_scratch_;
};

}  // namespace caudal
