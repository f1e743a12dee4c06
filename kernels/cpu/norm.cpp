// RMS norm (Zhang & Sennrich, arXiv 1910.07467), alone and fused with the residual addition. In bf16 the
// normalised value is rounded before the weight multiplies it and the sum before it is normalised, as the
// published models were trained and as transformers computes them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cpp"
#include <hwy/foreach_target.h>
// foreach_target first
#include <hwy/highway.h>

#include <cmath>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace caudal::HWY_NAMESPACE {

// residual += x (nothing without x); returns the sum of squares of the residual. All [hidden].
template <typename T>
float add_and_sum_squares(const T* x, T* residual, std::int64_t hidden) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V32 even = hn::Zero(d), odd = hn::Zero(d);  // two chains hide the latency of the addition
  for (std::int64_t i = 0; i < hidden; i += lanes) {
    V32 v = load(d, residual + i, hidden - i);
    if (x != nullptr) {
      v = round_to<T>(d, hn::Add(v, load(d, x + i, hidden - i)));
      store(v, d, residual + i, hidden - i);
    }
    const V32 sum = hn::MulAdd(v, v, even);
    even = odd;
    odd = sum;
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
}

// out = weight * (x * inverse_rms). All [hidden]; out may be x.
template <typename T>
void scale_row(const T* x, const T* weight, float inverse_rms, std::int64_t hidden, T* out) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V32 scale = hn::Set(d, inverse_rms);
  for (std::int64_t i = 0; i < hidden; i += lanes) {
    const V32 normalised = round_to<T>(d, hn::Mul(load(d, x + i, hidden - i), scale));
    store(hn::Mul(normalised, load(d, weight + i, hidden - i)), d, out + i, hidden - i);
  }
}

// Rows [begin, end). `x` may be empty; then `residual` is only read.
template <typename T>
void norm_rows(const Tensor& x, const Tensor& residual, const Tensor& weight, float eps, const Tensor& out,
               std::int64_t begin, std::int64_t end) {
  const std::int64_t hidden = out.dim(1);
  for (std::int64_t row = begin; row < end; ++row) {
    T* sum = residual.as<T>() + row * residual.stride0();
    const T* addend = x.empty() ? nullptr : x.as<T>() + row * x.stride0();
    const float mean_square = add_and_sum_squares(addend, sum, hidden) / static_cast<float>(hidden);
    scale_row(sum, weight.as<T>(), 1.0F / std::sqrt(mean_square + eps), hidden, out.as<T>() + row * out.stride0());
  }
}

void norm_rows_any(const Tensor& x, const Tensor& residual, const Tensor& weight, float eps, const Tensor& out,
                   std::int64_t begin, std::int64_t end) {
  if (out.dtype() == DType::kBF16) return norm_rows<BF16>(x, residual, weight, eps, out, begin, end);
  norm_rows<float>(x, residual, weight, eps, out, begin, end);
}

}  // namespace caudal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace caudal {

HWY_EXPORT(norm_rows_any);

void compute(CpuContext& context, const op::RmsNorm& o) {
  for_rows(context, o.out, [&](std::int64_t begin, std::int64_t end) {
    CAUDAL_SIMD(context, norm_rows_any)(Tensor(), o.x, o.weight, o.eps, o.out, begin, end);
  });
}

void compute(CpuContext& context, const op::AddRmsNorm& o) {
  for_rows(context, o.out, [&](std::int64_t begin, std::int64_t end) {
    CAUDAL_SIMD(context, norm_rows_any)(o.x, o.residual, o.weight, o.eps, o.out, begin, end);
  });
}

}  // namespace caudal
#endif  // HWY_ONCE
