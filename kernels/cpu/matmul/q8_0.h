// Weights in blocks of 32 bytes with one scale, computed as they are stored. x stays f32: to round its rows to 8 bits,
// as block.h does for codes of fewer bits, cost 0.4 % of perplexity on a model of 135M parameters, in f32 it is 0.002 %
// (tests/bench/README.md). A sum runs over the values of one block in the order of k:
//   y += scale * (sum of x[k] * code[k])
// Every addition is fused with its product, so all instruction sets give the same bits.
//
// A panel has its blocks one after the other. A block:
//   scales  f16 [32]       per column
//   codes   i8  [32][32]   k, column
#pragma once

#include "kernels/cpu/matmul/packed_kind.h"
#include "kernels/cpu/matmul/plain.h"
#include "kernels/stored_format.h"

namespace caudal {

inline constexpr std::int64_t kQ8_0ScaleBytes = 2 * kPanel;
inline constexpr std::int64_t kQ8_0BlockBytes = kQ8_0ScaleBytes + kBlockK * kPanel;

struct Q8_0Job {
  const float* x;  // [num_rows, num_blocks * 32], rows `x_stride` apart
  std::int64_t x_stride;
  std::int64_t num_rows;
  std::int64_t num_blocks;
  const PackedMatrix* weight;
  const Tensor* out;  // [num_rows, out] of f32 or bf16
};

// PackedKind::multiply().
void multiply_q8_0(CpuContext& context, const Tensor& x, const PackedMatrix& weight, const Tensor& out);

const PackedKind& q8_0_kind();

}  // namespace caudal
