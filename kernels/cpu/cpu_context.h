// What every CPU op is given: the threads and the instruction set to use. Owned by CpuBackend, used by its
// step thread only.
#pragma once

#include <hwy/targets.h>

#include <cstdint>

namespace caudal {

// In rising order, so that a cap is a comparison.
enum class Isa : std::uint8_t { kBaseline, kAvx2, kAvx512, kAmx };

class CpuContext {
 public:
  CpuContext(int num_threads, Isa isa) : num_threads_(num_threads), isa_(isa) {
    std::int64_t targets = hwy::SupportedTargets();
    if (isa < Isa::kAvx512) targets &= ~std::int64_t{HWY_AVX3 | HWY_AVX3_DL};
    if (isa < Isa::kAvx2) targets &= ~std::int64_t{HWY_AVX2};
    simd_.Update(targets);
  }

  int num_threads() const { return num_threads_; }
  Isa isa() const { return isa_; }
  const hwy::ChosenTarget& simd() const { return simd_; }  // see kernels/cpu/simd.h

  // Calls fn(begin, end) on ranges that cut [0, count) in at most num_threads parts; returns when all are done.
  template <typename Fn>
  void parallel_for(std::int64_t count, Fn fn) {
    if (count > 0) fn(std::int64_t{0}, count);
  }

 private:
  int num_threads_;
  Isa isa_;
  hwy::ChosenTarget simd_;
};

}  // namespace caudal
