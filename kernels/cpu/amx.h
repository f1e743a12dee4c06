// AMX tiles (Intel SDM volume 1, chapter 18): eight registers of 16 rows by 64 bytes. Tile arithmetic here is
// C[16][16] f32 += A[16 rows][32 k] bf16 * B[16 k pairs][16 columns][2] bf16, k in order, inputs' denormals as zero.
// Only functions marked CAUDAL_AMX may use this, and only when CpuContext::isa() is kAmx.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/bf16.h"

// On the function, not the file: inline functions of headers stay free of instructions other CPUs lack.
#define CAUDAL_AMX __attribute__((target("amx-tile,amx-bf16,avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define CAUDAL_AMX_INLINE CAUDAL_AMX __attribute__((always_inline)) inline

namespace caudal::amx {

inline constexpr std::int64_t kRows = 16;                  // of a tile of A or C
inline constexpr std::int64_t kDepth = 32;                 // k per tile of A and B
inline constexpr std::int64_t kColumns = 16;               // of a tile of B or C
inline constexpr std::int64_t kElements = kRows * kDepth;  // bf16 in a tile of A or B: 1 KiB

struct alignas(64) Config {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
// In static memory: GCC 12 takes only the first bytes as the input of ldtilecfg and drops stores to a local.
inline constexpr Config kConfig;

// Tiles are configured while one of these lives; a thread needs one per task.
class TileScope {
 public:
  CAUDAL_AMX TileScope() { _tile_loadconfig(&kConfig); }
  CAUDAL_AMX ~TileScope() { _tile_release(); }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
};

// Tile loads and stores are opaque to the compiler; this orders them with ordinary ones around them.
inline void fence() { asm volatile("" ::: "memory"); }

// Round to nearest even, NaN stays NaN, denormals become zero. Elements of `mask` only.
CAUDAL_AMX_INLINE void store(__m512 v, BF16* out, __mmask16 mask) {
  _mm256_mask_storeu_epi16(out, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)));
}
CAUDAL_AMX_INLINE void store(__m512 v, float* out, __mmask16 mask) { _mm512_mask_storeu_ps(out, mask, v); }

CAUDAL_AMX_INLINE __mmask16 first_lanes(std::int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xFFFF : (1U << count) - 1U);
}

}  // namespace caudal::amx
