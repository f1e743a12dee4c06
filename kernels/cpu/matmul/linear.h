// The packed weight of a CPU linear layer, and the kernels that read it (linear_simd.cpp, amx_gemm.cpp).
//
// Why not oneDNN here (2.6, measured on 2 cores of a Sapphire Rapids server, Qwen2.5-0.5B shapes): a row of its AMX
// matmul depends on the number of rows (K = 4864: 658 of 896 values of a row differ between 1 and 512 rows), so does
// every f32 matmul on AVX2; it has no bf16 on AVX2; it compiles a kernel for each number of rows a server meets, and
// its OpenMP barrier stalls when a core is shared. f32 on AVX-512 is invariant there, but ours reaches 0.84 to 0.99 of
// its speed at 512 rows, so one path serves all. bf16 on AMX against oneDNN, medians of runs taken in turns on a busy
// machine: 512 rows 0.6 to 1.8 times its speed, 513 rows 2.1 to 2.6 times
// (tests/bench/kernels/kernels_bench_linear.cpp).
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/bf16.h"

namespace caudal {

// Columns of y = rows of the weight come in panels of 32, padded with zeros, each contiguous:
//   f32   [num_panels][in][32]
//   bf16  [num_panels][ceil(in / 32)][2][16][16][2]   k block, column half, k pair, column, k in the pair
// The innermost [16][16][2] is one AMX tile of B (Intel SDM, TDPBF16PS) and 16 vectors of AVX-512.
inline constexpr std::int64_t kPanel = 32;
inline constexpr std::int64_t kBlockK = 32;

class CpuLinear final : public Linear {
 public:
  // Of that shape, not packed.
  CpuLinear(DType dtype, std::int64_t out_features, std::int64_t in_features)
      : dtype_(dtype), in_(in_features), out_(out_features) {}
  static Result<std::unique_ptr<Linear>> pack(const LinearSource& source);

  std::size_t packed_bytes() const { return weight_bytes() + bias_bytes(); }

  std::int64_t in_features() const override { return in_; }
  std::int64_t out_features() const override { return out_; }
  DType compute_dtype() const override { return dtype_; }
  std::size_t bytes() const override { return weight_.bytes() + bias_.bytes(); }

  std::int64_t num_panels() const { return (out_ + kPanel - 1) / kPanel; }
  std::int64_t num_blocks_k() const { return (in_ + kBlockK - 1) / kBlockK; }
  std::int64_t panel_elements() const { return kPanel * (dtype_ == DType::kF32 ? in_ : num_blocks_k() * kBlockK); }
  template <typename T>
  const T* panel(std::int64_t i) const {
    return static_cast<const T*>(weight_.data()) + i * panel_elements();
  }
  const float* bias() const { return static_cast<const float*>(bias_.data()); }  // [num_panels * 32], 0 without one

 private:
  std::size_t weight_bytes() const {
    return static_cast<std::size_t>(num_panels() * panel_elements()) * dtype_bytes(dtype_);
  }
  std::size_t bias_bytes() const { return static_cast<std::size_t>(num_panels() * kPanel) * sizeof(float); }
  template <typename T>
  void pack_weight(const LinearSource& source);
  void pack_bias(const LinearSource& source);

  DType dtype_;
  std::int64_t in_, out_;
  Buffer weight_;
  Buffer bias_;
};

class CpuContext;

// out = x W^T + b. x [num_tokens, in], out [num_tokens, out] of x's dtype or f32. Each value is one sum over k in
// a fixed order, so a row has the same bits whatever the number of rows and threads.
void linear_simd(CpuContext& context, const Tensor& x, const CpuLinear& weight, const Tensor& out);
void linear_amx(CpuContext& context, const Tensor& x, const CpuLinear& weight, const Tensor& out);  // bf16, Isa::kAmx

// What linear_simd hands to its per-target builds.
struct SimdLinearJob {
  const float* x;  // [num_rows, in], rows `x_stride` apart; for bf16 weights zero up to an even k
  std::int64_t x_stride;
  std::int64_t num_rows;
  const CpuLinear* weight;
  const Tensor* out;  // [num_rows, out]
};

}  // namespace caudal
