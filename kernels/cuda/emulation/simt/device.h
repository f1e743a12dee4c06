// The CUDA vocabulary for host compilers: what nvcc has built in (threadIdx, barriers, shuffles, atomics, fast
// math), as functions of the emulation. Kernel sources get it through simt.h and never see the difference.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <vector_functions.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels/cuda/emulation/simt/runtime.h"

#undef __shared__
#define __shared__ static_assert(false, "use SIMT_SHARED or SIMT_DYN_SMEM");
#undef __forceinline__
#define __forceinline__ inline
#define __launch_bounds__(...)

#define SIMT_DYN_SMEM(T, name) T* name = reinterpret_cast<T*>(::caudal::simt::dynamic_shared())
// A static variable is known by the address of `key`, one per declaration and template instance.
#define SIMT_SHARED(T, name)                                                                          \
  auto& name = *reinterpret_cast<std::type_identity_t<T>*>([](std::size_t bytes, std::size_t align) { \
    static const char key = 0;                                                                        \
    return ::caudal::simt::static_shared(&key, bytes, align);                                         \
  }(sizeof(std::type_identity_t<T>), alignof(std::type_identity_t<T>)))

#define threadIdx (::caudal::simt::current->index)
#define blockIdx (::caudal::simt::current->block->index)
#define blockDim (::caudal::simt::current->block->block_dim)
#define gridDim (::caudal::simt::current->block->grid_dim)
inline constexpr int warpSize = 32;

using SimtLoc = caudal::simt::Loc;

// ---- Barriers ----
inline void __syncthreads(SimtLoc loc = SimtLoc::here()) { caudal::simt::sync_block(0, 0, true, loc); }
inline int __syncthreads_count(int predicate, SimtLoc loc = SimtLoc::here()) {
  return caudal::simt::sync_block_vote(predicate, caudal::simt::Vote::kCount, loc);
}
inline int __syncthreads_and(int predicate, SimtLoc loc = SimtLoc::here()) {
  return caudal::simt::sync_block_vote(predicate, caudal::simt::Vote::kAnd, loc);
}
inline int __syncthreads_or(int predicate, SimtLoc loc = SimtLoc::here()) {
  return caudal::simt::sync_block_vote(predicate, caudal::simt::Vote::kOr, loc);
}
inline void __syncwarp(unsigned mask = ~0U, SimtLoc loc = SimtLoc::here()) { caudal::simt::sync_warp(mask, loc); }

// ---- Shuffles and votes ----
namespace caudal::simt {
template <class T>
T shuffle_value(unsigned mask, T value, int source, Loc loc) {
  return unpack<T>(shuffle(mask, pack(value), source, loc));
}
// A source outside the segment of `width` lanes means the lane's own value.
inline int own_unless(bool inside, int source) { return inside ? source : static_cast<int>(current->lane); }
}  // namespace caudal::simt

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SimtLoc loc = SimtLoc::here()) {
  const int lane = static_cast<int>(caudal::simt::current->lane);
  return caudal::simt::shuffle_value(mask, value, (lane & ~(width - 1)) | (source & (width - 1)), loc);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, SimtLoc loc = SimtLoc::here()) {
  const int lane = static_cast<int>(caudal::simt::current->lane), source = lane ^ lane_mask;
  return caudal::simt::shuffle_value(mask, value, caudal::simt::own_unless(source <= (lane | (width - 1)), source),
                                     loc);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SimtLoc loc = SimtLoc::here()) {
  const int lane = static_cast<int>(caudal::simt::current->lane), source = lane + static_cast<int>(delta);
  return caudal::simt::shuffle_value(mask, value, caudal::simt::own_unless(source <= (lane | (width - 1)), source),
                                     loc);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SimtLoc loc = SimtLoc::here()) {
  const int lane = static_cast<int>(caudal::simt::current->lane), source = lane - static_cast<int>(delta);
  return caudal::simt::shuffle_value(mask, value, caudal::simt::own_unless(source >= (lane & ~(width - 1)), source),
                                     loc);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, SimtLoc loc = SimtLoc::here()) {
  return caudal::simt::ballot(mask, predicate != 0, loc);
}
inline int __any_sync(unsigned mask, int predicate, SimtLoc loc = SimtLoc::here()) {
  return caudal::simt::ballot(mask, predicate != 0, loc) != 0;
}
inline int __all_sync(unsigned mask, int predicate, SimtLoc loc = SimtLoc::here()) {
  return caudal::simt::ballot(mask, predicate == 0, loc) == 0;
}
template <class T>
T __reduce_add_sync(unsigned mask, T value, SimtLoc loc = SimtLoc::here()) {
  return static_cast<T>(caudal::simt::reduce(mask, static_cast<unsigned>(value), caudal::simt::Reduce::kAdd, loc));
}
template <class T>
T __reduce_max_sync(unsigned mask, T value, SimtLoc loc = SimtLoc::here()) {
  using caudal::simt::Reduce;
  const Reduce op = std::is_signed_v<T> ? Reduce::kMaxSigned : Reduce::kMaxUnsigned;
  return static_cast<T>(caudal::simt::reduce(mask, static_cast<unsigned>(value), op, loc));
}
template <class T>
T __reduce_min_sync(unsigned mask, T value, SimtLoc loc = SimtLoc::here()) {
  using caudal::simt::Reduce;
  const Reduce op = std::is_signed_v<T> ? Reduce::kMinSigned : Reduce::kMinUnsigned;
  return static_cast<T>(caudal::simt::reduce(mask, static_cast<unsigned>(value), op, loc));
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, SimtLoc loc = SimtLoc::here()) {
  return caudal::simt::reduce(mask, value, caudal::simt::Reduce::kOr, loc);
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, SimtLoc loc = SimtLoc::here()) {
  return caudal::simt::match_any(mask, caudal::simt::pack(value), loc);
}
inline unsigned __activemask() { return caudal::simt::active_mask(); }

// ---- Memory order and atomics: relaxed, as in CUDA; order comes from __threadfence ----
inline void __threadfence() {
  caudal::simt::fence();
  __sync_synchronize();
}
inline void __threadfence_block() { __threadfence(); }
inline void __threadfence_system() { __threadfence(); }
inline void __nanosleep(unsigned) { caudal::simt::yield(); }
[[noreturn]] inline void __trap(SimtLoc loc = SimtLoc::here()) { caudal::simt::fail("__trap", loc); }

namespace caudal::simt {
template <class T, class F>
T atomic_update(T* address, F update) {
  before_atomic(address);
  std::atomic_ref<T> value(*address);
  T old = value.load(std::memory_order_relaxed);
  while (!value.compare_exchange_weak(old, update(old), std::memory_order_relaxed)) {
  }
  after_atomic(address);
  return old;
}
}  // namespace caudal::simt

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> v) {
  return caudal::simt::atomic_update(address, [v](T old) { return static_cast<T>(old + v); });
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> v) {
  return caudal::simt::atomic_update(address, [v](T old) { return std::max(old, v); });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> v) {
  return caudal::simt::atomic_update(address, [v](T old) { return std::min(old, v); });
}
template <class T>
T atomicOr(T* address, std::type_identity_t<T> v) {
  return caudal::simt::atomic_update(address, [v](T old) { return static_cast<T>(old | v); });
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> v) {
  return caudal::simt::atomic_update(address, [v](T) { return v; });
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> v) {
  return caudal::simt::atomic_update(address, [expected, v](T old) { return old == expected ? v : old; });
}
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return caudal::simt::atomic_update(address, [limit](unsigned old) { return old >= limit ? 0U : old + 1U; });
}

// ---- Loads and stores with cache hints ----
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, T v) {
  *p = v;
}
template <class T>
void __stcg(T* p, T v) {
  *p = v;
}

// ---- Arithmetic ----
using std::max;
using std::min;
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1.0F / x; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline unsigned __float_as_uint(float f) { return caudal::simt::unpack<unsigned>(caudal::simt::pack(f)); }
inline int __float_as_int(float f) { return caudal::simt::unpack<int>(caudal::simt::pack(f)); }
inline float __uint_as_float(unsigned u) { return caudal::simt::unpack<float>(caudal::simt::pack(u)); }
inline float __int_as_float(int u) { return caudal::simt::unpack<float>(caudal::simt::pack(u)); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x != 0 ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
