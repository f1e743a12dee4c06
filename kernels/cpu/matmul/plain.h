// Weights packed as values of the dtype of x, f32 or bf16, and the kernels that read them (plain_simd.cpp,
// plain_amx.cpp).
//
// Why not oneDNN here (2.6, measured on 2 cores of a Sapphire Rapids server, Qwen2.5-0.5B shapes): a row of its AMX
// matmul depends on the number of rows (K = 4864: 658 of 896 values of a row differ between 1 and 512 rows), so does
// every f32 matmul on AVX2; it has no bf16 on AVX2; it compiles a kernel for each number of rows a server meets, and
// its OpenMP barrier stalls when a core is shared. f32 on AVX-512 is invariant there, but ours reaches 0.84 to 0.99 of
// its speed at 512 rows, so one path serves all. bf16 on AMX against oneDNN, medians of runs taken in turns on a busy
// machine: 512 rows 0.6 to 1.8 times its speed, 513 rows 2.1 to 2.6 times
// (tests/bench/kernels/kernels_bench_linear.cpp).
#pragma once

#include "kernels/bf16.h"
#include "kernels/cpu/matmul/packed_kind.h"

namespace caudal {

// A panel:
//   f32   [in][32]
//   bf16  [ceil(in / 32)][2][16][16][2]   k block, column half, k pair, column, k in the pair
// The innermost [16][16][2] is one AMX tile of B (Intel SDM, TDPBF16PS) and 16 vectors of AVX-512.
inline constexpr std::int64_t kBlockK = 32;

inline std::int64_t num_blocks_k(const PackedMatrix& weight) { return (weight.in_features + kBlockK - 1) / kBlockK; }

const PackedKind& plain_kind(DType dtype);

// PackedKind::multiply().
void linear_simd(CpuContext& context, const Tensor& x, const PackedMatrix& weight, const Tensor& out);
void linear_amx(CpuContext& context, const Tensor& x, const PackedMatrix& weight,
                const Tensor& out);  // bf16, Isa::kAmx

// What linear_simd hands to its per-target builds.
struct SimdLinearJob {
  const float* x;  // [num_rows, in], rows `x_stride` apart; for bf16 weights zero up to an even k
  std::int64_t x_stride;
  std::int64_t num_rows;
  const PackedMatrix* weight;
  const Tensor* out;  // [num_rows, out]
  bool bf16;          // the weight
};

}  // namespace caudal
