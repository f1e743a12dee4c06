// Matmul without AMX, and of f32: a micro kernel of up to 6 rows by 2 vectors, or of 3 rows by a whole panel, the
// shapes that fill the 16 registers of AVX2. bf16 weights become f32 in registers: half the bytes, the same sums.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul/plain_simd.cpp"
#include <hwy/foreach_target.h>
// foreach_target first
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/cpu_context.h"
#include "kernels/cpu/matmul/plain.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace caudal::HWY_NAMESPACE {

constexpr int kMaxRows = 6;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(F32()));
constexpr int kPanelVectors = static_cast<int>(kPanel) / kLanes;

// Vectors of columns that so many rows take at a time. Few rows take the whole panel where the registers hold its sums:
// two chains of additions do not hide what an addition takes, and the panel is read once, in its order.
template <int kRows>
constexpr int kVectors = kRows * kPanelVectors <= 12 ? kPanelVectors : std::min(2, kPanelVectors);
constexpr std::int64_t kAhead = 2 << 10;  // bytes between prefetch and use

template <int kRows>
using Sums = V32[kRows][kVectors<kRows>];

// sum[r][v] += x[r][k] * W[k][column of v], k = 0 .. in - 1 in order. x f32, rows `stride` apart.
template <int kRows>
HWY_INLINE void accumulate(const float* x, std::int64_t stride, const float* panel, std::int64_t column,
                           std::int64_t in, Sums<kRows>& sum) {
  const F32 d;
  const float* w = panel + column;
  for (std::int64_t k = 0; k < in; ++k, w += kPanel) {
    for (std::int64_t v = 0; v < kVectors<kRows>; v += 16 / kLanes) hwy::Prefetch(w + v * kLanes + kAhead / 4);
    V32 weight[kVectors<kRows>];
    for (std::int64_t v = 0; v < kVectors<kRows>; ++v) weight[v] = hn::LoadU(d, w + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const V32 value = hn::Set(d, x[r * stride + k]);
      for (std::int64_t v = 0; v < kVectors<kRows>; ++v) sum[r][v] = hn::MulAdd(value, weight[v], sum[r][v]);
    }
  }
}

// The k pair of one column is one 32-bit lane: the even k in its lower half.
HWY_INLINE V32 even_k(F32 d, hn::Vec<U32> pair) { return hn::BitCast(d, hn::ShiftLeft<16>(pair)); }
HWY_INLINE V32 odd_k(F32 d, hn::Vec<U32> pair) { return hn::BitCast(d, hn::And(pair, hn::Set(U32(), 0xFFFF0000U))); }

template <int kRows>
HWY_INLINE void accumulate(const float* x, std::int64_t stride, const BF16* panel, std::int64_t column, std::int64_t in,
                           Sums<kRows>& sum) {
  const F32 d;
  const U32 du;
  const auto* words = reinterpret_cast<const std::uint32_t*>(panel);
  // Of vector v among the words of a k pair: the halves of a panel are 16 pairs of 16 columns each.
  const auto offset = [column](std::int64_t v) {
    return (column + v * kLanes) / 16 * 256 + (column + v * kLanes) % 16;
  };
  for (std::int64_t k = 0; k < in; k += 2) {
    const std::uint32_t* w = words + k / kBlockK * 512 + k % kBlockK / 2 * 16;
    for (std::int64_t v = 0; v < kVectors<kRows>; v += 16 / kLanes) hwy::Prefetch(w + offset(v) + kAhead / 4);
    V32 even[kVectors<kRows>], odd[kVectors<kRows>];
    for (std::int64_t v = 0; v < kVectors<kRows>; ++v) {
      const auto pair = hn::LoadU(du, w + offset(v));
      even[v] = even_k(d, pair), odd[v] = odd_k(d, pair);
    }
    for (int r = 0; r < kRows; ++r) {
      const V32 x_even = hn::Set(d, x[r * stride + k]), x_odd = hn::Set(d, x[r * stride + k + 1]);
      for (std::int64_t v = 0; v < kVectors<kRows>; ++v)
        sum[r][v] = hn::MulAdd(x_odd, odd[v], hn::MulAdd(x_even, even[v], sum[r][v]));
    }
  }
}

template <int kRows, typename W, typename O>
void micro_kernel(const SimdLinearJob& job, std::int64_t row, std::int64_t panel) {
  const F32 d;
  const PackedMatrix& weight = *job.weight;
  const std::int64_t columns = std::min(kPanel, weight.out_features - panel * kPanel);
  for (std::int64_t column = 0; column < columns; column += kVectors<kRows> * kLanes) {
    Sums<kRows> sum;
    for (auto& row_sum : sum)
      for (V32& each : row_sum) each = hn::Zero(d);
    accumulate<kRows>(job.x + row * job.x_stride, job.x_stride, weight.panel<W>(panel), column, weight.in_features,
                      sum);
    const float* bias = weight.bias + panel * kPanel + column;
    O* out = job.out->as<O>() + row * job.out->stride0() + panel * kPanel + column;
    for (int r = 0; r < kRows; ++r, out += job.out->stride0()) {
      for (std::int64_t v = 0; v < kVectors<kRows>; ++v) {
        const std::int64_t left = columns - column - v * kLanes;
        if (left > 0) store(hn::Add(sum[r][v], hn::LoadU(d, bias + v * kLanes)), d, out + v * kLanes, left);
      }
    }
  }
}

template <typename W, typename O>
void panels_loop(const SimdLinearJob& job, std::int64_t begin, std::int64_t end) {
  for (std::int64_t panel = begin; panel < end; ++panel) {
    std::int64_t row = 0;
    for (; row + kMaxRows <= job.num_rows; row += kMaxRows) micro_kernel<kMaxRows, W, O>(job, row, panel);
    switch (job.num_rows - row) {
      case 1:
        micro_kernel<1, W, O>(job, row, panel);
        break;
      case 2:
        micro_kernel<2, W, O>(job, row, panel);
        break;
      case 3:
        micro_kernel<3, W, O>(job, row, panel);
        break;
      case 4:
        micro_kernel<4, W, O>(job, row, panel);
        break;
      case 5:
        micro_kernel<5, W, O>(job, row, panel);
        break;
      default:
        break;
    }
  }
}

void linear_panels(const SimdLinearJob& job, std::int64_t begin, std::int64_t end) {
  const bool f32_out = job.out->dtype() == DType::kF32;
  if (!job.bf16) return panels_loop<float, float>(job, begin, end);
  f32_out ? panels_loop<BF16, float>(job, begin, end) : panels_loop<BF16, BF16>(job, begin, end);
}

void widen_rows(const Tensor& x, std::int64_t begin, std::int64_t end, float* out, std::int64_t stride) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = begin; row < end; ++row) {
    const BF16* source = x.as<BF16>() + row * x.stride0();
    for (std::int64_t k = 0; k < x.dim(1); k += lanes) {  // stride leaves room for the last vector's zeros
      store_full(load(d, source + k, x.dim(1) - k), d, out + row * stride + k);
    }
  }
}

}  // namespace caudal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace caudal {

HWY_EXPORT(linear_panels);
HWY_EXPORT(widen_rows);

void linear_simd(CpuContext& context, const Tensor& x, const PackedMatrix& weight, const Tensor& out) {
  SimdLinearJob job{x.as<float>(), x.stride0(), x.dim(0), &weight, &out, x.dtype() == DType::kBF16};
  if (job.bf16) {
    job.x_stride = (x.dim(1) + kPanel - 1) / kPanel * kPanel;
    auto* widened = context.op_scratch().get<float>(x.dim(0) * job.x_stride);
    context.parallel_for(x.dim(0), [&](std::int64_t begin, std::int64_t end) {
      CAUDAL_SIMD(context, widen_rows)(x, begin, end, widened, job.x_stride);
    });
    job.x = widened;
  }
  for_panels(context, weight.num_panels(), [&](std::int64_t begin, std::int64_t end, int) {
    CAUDAL_SIMD(context, linear_panels)(job, begin, end);
  });
}

}  // namespace caudal
#endif  // HWY_ONCE
