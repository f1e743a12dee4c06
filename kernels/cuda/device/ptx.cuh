// Wrappers of PTX instructions, for sm_80 and later; with ptx_sm90.cuh the only place with inline assembly.
// Each has two bodies: the instruction for nvcc, a call into the emulation for host compilers. In the
// emulation every wrapper that can wait or fail takes the caller's line as a last, defaulted argument.
#pragma once

#include "kernels/cuda/emulation/simt/simt.h"

#if SIMT_CPU
#define PTX_LOC , ::caudal::simt::Loc loc_ = ::caudal::simt::Loc::here()
#define PTX_LOC0 ::caudal::simt::Loc loc_ = ::caudal::simt::Loc::here()
#else
#define PTX_LOC
#define PTX_LOC0
#endif
#define PTX_FN __device__ __forceinline__

namespace caudal::ptx {

PTX_FN uint32_t smem_addr(const void* p) {
#if SIMT_CPU
  return simt::shared_address(p);
#else
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
#endif
}

// 2^x; subnormals are zero on the device.
PTX_FN float ex2(float x) {
#if SIMT_CPU
  return std::exp2(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

// tanh(x) to about 2^-11; for the logit soft-cap.
PTX_FN float tanh_approx(float x) {
#if SIMT_CPU
  return std::tanh(x);
#else
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

// 16 bytes, past the first-level cache; zeros when !pred, and then src is not read.
PTX_FN void cp_async16(void* dst, const void* src, bool pred = true PTX_LOC) {
#if SIMT_CPU
  simt::cp_async(dst, src, 16, pred ? 16 : 0, loc_);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(smem_addr(dst)), "l"(src), "r"(pred ? 16 : 0)
               : "memory");
#endif
}
PTX_FN void cp_async_commit() {
#if SIMT_CPU
  simt::cp_async_commit();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Waits until at most N of this thread's groups are in flight.
template <int N>
PTX_FN void cp_async_wait() {
#if SIMT_CPU
  simt::cp_async_wait(N);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// Four 8x8 tiles of 16-bit elements; lanes 8 j to 8 j + 7 give the row addresses of tile j.
PTX_FN void ldmatrix_x4(uint32_t (&r)[4], const void* row PTX_LOC) {
#if SIMT_CPU
  simt::ldmatrix(r, 4, false, row, loc_);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(smem_addr(row))
               : "memory");
#endif
}
PTX_FN void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row PTX_LOC) {
#if SIMT_CPU
  simt::ldmatrix(r, 4, true, row, loc_);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(smem_addr(row))
               : "memory");
#endif
}
PTX_FN void ldmatrix_x2(uint32_t (&r)[2], const void* row PTX_LOC) {
#if SIMT_CPU
  simt::ldmatrix(r, 2, false, row, loc_);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(smem_addr(row))
               : "memory");
#endif
}
PTX_FN void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row PTX_LOC) {
#if SIMT_CPU
  simt::ldmatrix(r, 2, true, row, loc_);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(smem_addr(row))
               : "memory");
#endif
}

// d += a b; m16 n8 k16, d in f32.
PTX_FN void mma_bf16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1 PTX_LOC) {
#if SIMT_CPU
  const uint32_t b[2] = {b0, b1};
  simt::mma_m16n8k16(d, a, b, simt::Half::kBF16, loc_);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}
PTX_FN void mma_f16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1 PTX_LOC) {
#if SIMT_CPU
  const uint32_t b[2] = {b0, b1};
  simt::mma_m16n8k16(d, a, b, simt::Half::kF16, loc_);
#else
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}
template <class T>
PTX_FN void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1 PTX_LOC) {
#if SIMT_CPU
  const uint32_t b[2] = {b0, b1};
  simt::mma_m16n8k16(d, a, b, std::is_same_v<T, __half> ? simt::Half::kF16 : simt::Half::kBF16, loc_);
#else
  if constexpr (std::is_same_v<T, __half>) {
    mma_f16(d, a, b0, b1);
  } else {
    mma_bf16(d, a, b0, b1);
  }
#endif
}

// Two floats rounded to nearest even, `low` in the low half: an element pair of an operand fragment.
PTX_FN uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 v = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &v, 4);
  return bits;
}
PTX_FN uint32_t pack_f16(float low, float high) {
  const __half2 v = __floats2half2_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &v, 4);
  return bits;
}
template <class T>
PTX_FN uint32_t pack2(float low, float high) {
  if constexpr (std::is_same_v<T, __half>) {
    return pack_f16(low, high);
  } else {
    return pack_bf16(low, high);
  }
}

// Named barrier `id` (1 to 15) of n threads, a multiple of 32; arrive does not wait.
PTX_FN void bar_sync(int id, int n PTX_LOC) {
#if SIMT_CPU
  simt::sync_block(static_cast<unsigned>(id), static_cast<unsigned>(n), true, loc_);
#else
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(n) : "memory");
#endif
}
PTX_FN void bar_arrive(int id, int n PTX_LOC) {
#if SIMT_CPU
  simt::sync_block(static_cast<unsigned>(id), static_cast<unsigned>(n), false, loc_);
#else
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(n) : "memory");
#endif
}

// ---- Between GPUs: flags in memory that several of them reach ----
// Whatever the block has stored before, and synchronised with this thread, is seen by those who see the flag.
PTX_FN void store_release_system(uint32_t* flag, uint32_t value) {
#if SIMT_CPU
  simt::store_release(flag, value);
#else
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");
#endif
}
PTX_FN uint32_t load_acquire_system(const uint32_t* flag) {
#if SIMT_CPU
  return simt::load_acquire(flag);
#else
  uint32_t value;
  asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
  return value;
#endif
}
// A word of host memory that device and host both write.
PTX_FN uint32_t load_relaxed_system(const uint32_t* word) {
#if SIMT_CPU
  return simt::load_relaxed(word);
#else
  uint32_t value;
  asm volatile("ld.relaxed.sys.global.u32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
  return value;
#endif
}
// Between two looks at a flag that another GPU sets.
PTX_FN void pause_for_peer() {
#if SIMT_CPU
  simt::yield_to_peer();
#else
  __nanosleep(20);
#endif
}
PTX_FN uint64_t global_timer_ns() {
#if SIMT_CPU
  return simt::now_ns();
#else
  uint64_t now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
#endif
}

}  // namespace caudal::ptx
