// Wrappers of Hopper's instructions: mbarrier, TMA and wgmma. nvcc has them for sm_90a only: kernels guard their
// bodies with `#if SIMT_SM90`, so that other targets compile to a stub that is never launched.
#pragma once

#include "kernels/cuda/device/ptx.cuh"

#if SIMT_CPU || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define SIMT_SM90 1
#else
#define SIMT_SM90 0
#endif

namespace caudal::ptx {

// ---- mbarrier: a phase ends after `count` arrivals and the expected bytes ----
PTX_FN void mbar_init(uint64_t* barrier, unsigned count PTX_LOC) {
#if SIMT_CPU
  simt::mbarrier_init(barrier, count, loc_);
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(smem_addr(barrier)), "r"(count) : "memory");
#endif
}
// After mbar_init and before the barrier that shows it to the others.
PTX_FN void fence_mbar_init() {
#if !SIMT_CPU && SIMT_SM90
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
PTX_FN void mbar_arrive(uint64_t* barrier PTX_LOC) {
#if SIMT_CPU
  simt::mbarrier_arrive(barrier, 1, 0, loc_);
#else
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(smem_addr(barrier)) : "memory");
#endif
}
#if SIMT_SM90
PTX_FN void mbar_arrive_expect_tx(uint64_t* barrier, unsigned bytes PTX_LOC) {
#if SIMT_CPU
  simt::mbarrier_arrive(barrier, 1, static_cast<int>(bytes), loc_);
#else
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(smem_addr(barrier)), "r"(bytes)
               : "memory");
#endif
}
// Returns when the phase with this parity has ended.
PTX_FN void mbar_wait(uint64_t* barrier, unsigned parity PTX_LOC) {
#if SIMT_CPU
  simt::mbarrier_wait(barrier, parity, loc_);
#else
  asm volatile(
      "{\n.reg .pred p;\nWAIT_%=:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@p bra DONE_%=;\n"
      "bra WAIT_%=;\nDONE_%=:\n}" ::"r"(smem_addr(barrier)),
      "r"(parity)
      : "memory");
#endif
}

// Makes this thread's stores visible to TMA and wgmma.
PTX_FN void fence_proxy_async() {
#if SIMT_CPU
  simt::fence_proxy_async();
#else
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// ---- TMA: one thread copies a box of a tensor; coordinates innermost first ----
PTX_FN void tma_load_2d(void* dst, const CUtensorMap* map, uint64_t* barrier, int c0, int c1 PTX_LOC) {
#if SIMT_CPU
  const int c[2] = {c0, c1};
  simt::tma_load(dst, map, barrier, c, 2, loc_);
#else
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
          smem_addr(dst)),
      "l"(map), "r"(smem_addr(barrier)), "r"(c0), "r"(c1)
      : "memory");
#endif
}
PTX_FN void tma_load_3d(void* dst, const CUtensorMap* map, uint64_t* barrier, int c0, int c1, int c2 PTX_LOC) {
#if SIMT_CPU
  const int c[3] = {c0, c1, c2};
  simt::tma_load(dst, map, barrier, c, 3, loc_);
#else
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::
          "r"(smem_addr(dst)),
      "l"(map), "r"(smem_addr(barrier)), "r"(c0), "r"(c1), "r"(c2)
      : "memory");
#endif
}
PTX_FN void tma_load_4d(void* dst, const CUtensorMap* map, uint64_t* barrier, int c0, int c1, int c2, int c3 PTX_LOC) {
#if SIMT_CPU
  const int c[4] = {c0, c1, c2, c3};
  simt::tma_load(dst, map, barrier, c, 4, loc_);
#else
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], "
      "[%2];" ::"r"(smem_addr(dst)),
      "l"(map), "r"(smem_addr(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
#endif
}
// `bytes` contiguous bytes, a multiple of 16, 16-byte aligned.
PTX_FN void bulk_load(void* dst, const void* src, unsigned bytes, uint64_t* barrier PTX_LOC) {
#if SIMT_CPU
  simt::bulk_load(dst, src, bytes, barrier, loc_);
#else
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(smem_addr(dst)),
      "l"(src), "r"(bytes), "r"(smem_addr(barrier))
      : "memory");
#endif
}

// ---- Registers of a warpgroup, N a multiple of 8 ----
template <int N>
PTX_FN void reg_alloc() {
#if !SIMT_CPU
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
#endif
}
template <int N>
PTX_FN void reg_dealloc() {
#if !SIMT_CPU
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
#endif
}

// ---- wgmma ----
// Descriptor of an operand in the 128-byte swizzle. K-major: `leading` is ignored, `stride` is the bytes
// between groups of 8 rows. MN-major: `leading` between groups of 64 columns, `stride` between groups of 8 k.
PTX_FN uint64_t smem_desc_128b(const void* p, unsigned leading, unsigned stride) {
  return uint64_t(smem_addr(p) >> 4 & 0x3FFF) | uint64_t(leading >> 4 & 0x3FFF) << 16 |
         uint64_t(stride >> 4 & 0x3FFF) << 32 | uint64_t(1) << 62;
}

PTX_FN void wgmma_fence(PTX_LOC0) {
#if SIMT_CPU
  simt::wgmma_fence(loc_);
#else
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
PTX_FN void wgmma_commit(PTX_LOC0) {
#if SIMT_CPU
  simt::wgmma_commit(loc_);
#else
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
template <int N>
PTX_FN void wgmma_wait(PTX_LOC0) {
#if SIMT_CPU
  simt::wgmma_wait(N, loc_);
#else
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
#endif
}

#if !SIMT_CPU
// The operand lists of the accumulator, eight registers at a time.
#define PTX_D8_0 "%0, %1, %2, %3, %4, %5, %6, %7"
#define PTX_D8_1 "%8, %9, %10, %11, %12, %13, %14, %15"
#define PTX_D8_2 "%16, %17, %18, %19, %20, %21, %22, %23"
#define PTX_D8_3 "%24, %25, %26, %27, %28, %29, %30, %31"
#define PTX_D8_4 "%32, %33, %34, %35, %36, %37, %38, %39"
#define PTX_D8_5 "%40, %41, %42, %43, %44, %45, %46, %47"
#define PTX_D8_6 "%48, %49, %50, %51, %52, %53, %54, %55"
#define PTX_D8_7 "%56, %57, %58, %59, %60, %61, %62, %63"
#define PTX_D8_8 "%64, %65, %66, %67, %68, %69, %70, %71"
#define PTX_D8_9 "%72, %73, %74, %75, %76, %77, %78, %79"
#define PTX_D8_10 "%80, %81, %82, %83, %84, %85, %86, %87"
#define PTX_D8_11 "%88, %89, %90, %91, %92, %93, %94, %95"
#define PTX_D8_12 "%96, %97, %98, %99, %100, %101, %102, %103"
#define PTX_D8_13 "%104, %105, %106, %107, %108, %109, %110, %111"
#define PTX_D8_14 "%112, %113, %114, %115, %116, %117, %118, %119"
#define PTX_D8_15 "%120, %121, %122, %123, %124, %125, %126, %127"
#define PTX_F8(i)                                                                                             \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define PTX_D32 PTX_D8_0 ", " PTX_D8_1 ", " PTX_D8_2 ", " PTX_D8_3
#define PTX_F32 PTX_F8(0), PTX_F8(8), PTX_F8(16), PTX_F8(24)
#define PTX_D40 PTX_D8_0 ", " PTX_D8_1 ", " PTX_D8_2 ", " PTX_D8_3 ", " PTX_D8_4
#define PTX_F40 PTX_F8(0), PTX_F8(8), PTX_F8(16), PTX_F8(24), PTX_F8(32)
#define PTX_D48 PTX_D8_0 ", " PTX_D8_1 ", " PTX_D8_2 ", " PTX_D8_3 ", " PTX_D8_4 ", " PTX_D8_5
#define PTX_F48 PTX_F8(0), PTX_F8(8), PTX_F8(16), PTX_F8(24), PTX_F8(32), PTX_F8(40)
#define PTX_D64 \
  PTX_D8_0 ", " PTX_D8_1 ", " PTX_D8_2 ", " PTX_D8_3 ", " PTX_D8_4 ", " PTX_D8_5 ", " PTX_D8_6 ", " PTX_D8_7
#define PTX_F64 PTX_F8(0), PTX_F8(8), PTX_F8(16), PTX_F8(24), PTX_F8(32), PTX_F8(40), PTX_F8(48), PTX_F8(56)
#define PTX_D128                                                                                                  \
  PTX_D8_0 ", " PTX_D8_1 ", " PTX_D8_2 ", " PTX_D8_3 ", " PTX_D8_4 ", " PTX_D8_5 ", " PTX_D8_6 ", " PTX_D8_7      \
           ", " PTX_D8_8 ", " PTX_D8_9 ", " PTX_D8_10 ", " PTX_D8_11 ", " PTX_D8_12 ", " PTX_D8_13 ", " PTX_D8_14 \
           ", " PTX_D8_15
#define PTX_F128                                                                                            \
  PTX_F8(0), PTX_F8(8), PTX_F8(16), PTX_F8(24), PTX_F8(32), PTX_F8(40), PTX_F8(48), PTX_F8(56), PTX_F8(64), \
      PTX_F8(72), PTX_F8(80), PTX_F8(88), PTX_F8(96), PTX_F8(104), PTX_F8(112), PTX_F8(120)

// A from shared memory (`da`) or from registers (`a`); B from shared memory. nvcc takes operands by number only:
// those after the R accumulators are the inputs.
#define PTX_WGMMA_SS(N, R, TYPE, A, B, ON, TB)                                               \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #ON                                      \
               ", 0;\n"                                                                      \
               "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" PTX_D##R \
               "}, %" #A ", %" #B ", p, 1, 1, 0, %" #TB ";\n}\n"                             \
               : PTX_F##R                                                                    \
               : "l"(da), "l"(db), "r"(int(accumulate)), "n"(kTransposeB ? 1 : 0))
#define PTX_WGMMA_RS(N, R, TYPE, A0, A1, A2, A3, B, ON, TB)                                    \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #ON                                        \
               ", 0;\n"                                                                        \
               "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" PTX_D##R   \
               "}, {%" #A0 ", %" #A1 ", %" #A2 ", %" #A3 "}, %" #B ", p, 1, 1, %" #TB ";\n}\n" \
               : PTX_F##R                                                                      \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(db), "r"(int(accumulate)), "n"(kTransposeB ? 1 : 0))
#define PTX_WGMMA_SS_SIZES(TYPE)                      \
  if constexpr (R == 32) {                            \
    PTX_WGMMA_SS(64, 32, TYPE, 32, 33, 34, 35);       \
  }                                                   \
  if constexpr (R == 40) {                            \
    PTX_WGMMA_SS(80, 40, TYPE, 40, 41, 42, 43);       \
  }                                                   \
  if constexpr (R == 48) {                            \
    PTX_WGMMA_SS(96, 48, TYPE, 48, 49, 50, 51);       \
  }                                                   \
  if constexpr (R == 64) {                            \
    PTX_WGMMA_SS(128, 64, TYPE, 64, 65, 66, 67);      \
  }                                                   \
  if constexpr (R == 128) {                           \
    PTX_WGMMA_SS(256, 128, TYPE, 128, 129, 130, 131); \
  }
#define PTX_WGMMA_RS_SIZES(TYPE)                                     \
  if constexpr (R == 32) {                                           \
    PTX_WGMMA_RS(64, 32, TYPE, 32, 33, 34, 35, 36, 37, 38);          \
  }                                                                  \
  if constexpr (R == 40) {                                           \
    PTX_WGMMA_RS(80, 40, TYPE, 40, 41, 42, 43, 44, 45, 46);          \
  }                                                                  \
  if constexpr (R == 48) {                                           \
    PTX_WGMMA_RS(96, 48, TYPE, 48, 49, 50, 51, 52, 53, 54);          \
  }                                                                  \
  if constexpr (R == 64) {                                           \
    PTX_WGMMA_RS(128, 64, TYPE, 64, 65, 66, 67, 68, 69, 70);         \
  }                                                                  \
  if constexpr (R == 128) {                                          \
    PTX_WGMMA_RS(256, 128, TYPE, 128, 129, 130, 131, 132, 133, 134); \
  }
#endif

template <int R>
inline constexpr bool kWgmmaSize = R == 32 || R == 40 || R == 48 || R == 64 || R == 128;

// d = A B (+ d when accumulate): m64, n = 2 R, k16 by one warpgroup, A K-major at `da`, B at `db` K-major
// ([n][k]) or, with kTransposeB, N-major ([k][n]). d belongs to the instruction until wgmma_wait.
template <class T, bool kTransposeB, int R>
PTX_FN void wgmma(float (&d)[R], uint64_t da, uint64_t db, bool accumulate PTX_LOC) {
  static_assert(kWgmmaSize<R>, "no wrapper for this n");
#if SIMT_CPU
  simt::WgmmaOperands operands;
  operands.a_descriptor = da;
  operands.b_descriptor = db;
  operands.type = std::is_same_v<T, __half> ? simt::Half::kF16 : simt::Half::kBF16;
  operands.accumulate = accumulate;
  operands.transpose_b = kTransposeB;
  simt::wgmma(d, 2 * R, operands, loc_);
#else
  if constexpr (std::is_same_v<T, __half>) {
    PTX_WGMMA_SS_SIZES("f16")
  } else {
    PTX_WGMMA_SS_SIZES("bf16")
  }
#endif
}
// The same with A in registers, the fragment of mma m16 n8 k16 for each warp's 16 rows.
template <class T, bool kTransposeB, int R>
PTX_FN void wgmma_rs(float (&d)[R], const uint32_t (&a)[4], uint64_t db, bool accumulate PTX_LOC) {
  static_assert(kWgmmaSize<R>, "no wrapper for this n");
#if SIMT_CPU
  simt::WgmmaOperands operands;
  operands.a_registers = a;
  operands.b_descriptor = db;
  operands.type = std::is_same_v<T, __half> ? simt::Half::kF16 : simt::Half::kBF16;
  operands.accumulate = accumulate;
  operands.transpose_b = kTransposeB;
  simt::wgmma(d, 2 * R, operands, loc_);
#else
  if constexpr (std::is_same_v<T, __half>) {
    PTX_WGMMA_RS_SIZES("f16")
  } else {
    PTX_WGMMA_RS_SIZES("bf16")
  }
#endif
}
#endif  // SIMT_SM90

}  // namespace caudal::ptx
