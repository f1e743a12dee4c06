// Products by weights in blocks (block.h): the rounding of x, and the builds of block_kernel-inl.h.
// This file is compiled without fused multiply-adds of the compiler's own, so that all targets round alike.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul/block_simd.cpp"
#include <hwy/foreach_target.h>
// foreach_target first
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "kernels/cpu/cpu_context.h"
#include "kernels/cpu/matmul/block.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/simd.h"
#include "kernels/half_float.h"

// Elsewhere the definition is computed.
#undef CAUDAL_BLOCK_VECTORS
#define CAUDAL_BLOCK_VECTORS (HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3)

HWY_BEFORE_NAMESPACE();
namespace caudal::HWY_NAMESPACE {

// codes[0 .. lanes) = round(v), ties to even. (Highway's own rounding of scalars takes 0.49999997 for 1.)
HWY_INLINE void round_to_codes(V32 v, std::int8_t* codes) {
#if CAUDAL_BLOCK_VECTORS
  const hn::Rebind<std::int8_t, F32> d;
  hn::StoreU(hn::DemoteTo(d, hn::NearestInt(v)), d, codes);
#else
  float values[hn::MaxLanes(F32())];
  hn::StoreU(v, F32(), values);
  for (const float value : values)
    *codes++ = std::abs(value) <= 127.0F ? static_cast<std::int8_t>(std::nearbyint(value)) : std::int8_t{0};
#endif
}

// 32 values of a row, of which `left` are there: codes = round(x * 127 / greatest |x|), ties to even. A step with an
// infinity or a NaN has the scale NaN.
template <typename T>
void code_step(const T* x, std::int64_t left, const CodedRows& out, std::int64_t step) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V32 greatest = hn::Zero(d), probe = hn::Zero(d);
  for (std::int64_t k = 0; k < kStep; k += lanes) {
    const V32 value = load(d, x + k, left - k);
    greatest = hn::Max(hn::Abs(value), greatest);
    probe = hn::Add(probe, hn::Mul(value, hn::Zero(d)));
  }
  const float limit = hn::GetLane(hn::MaxOfLanes(d, greatest)), not_finite = hn::GetLane(hn::SumOfLanes(d, probe));
  constexpr float kSmallest = 1e-35F;  // below, 127 / limit is infinite
  const V32 inverse = hn::Set(d, limit >= kSmallest ? 127.0F / limit : 0.0F);
  std::int8_t* codes = out.codes + step * kStep;
  for (std::int64_t k = 0; k < kStep; k += lanes) round_to_codes(hn::Mul(load(d, x + k, left - k), inverse), codes + k);
  out.scales[step] = limit / 127.0F + not_finite;
  for (std::int64_t half = 0; half < 2; ++half) {
    std::int32_t sum = 0;
    for (std::int64_t k = 0; k < kStep / 2; ++k) sum += codes[half * kStep / 2 + k];
    out.sums[step][half] = sum;
  }
  for (std::int64_t k = 0; k < kStep; k += 4) {
    const std::int8_t* four = codes + k;
    const std::array<std::int16_t, 4> pairs = {four[0], four[2], four[1], four[3]};
    std::ranges::copy(pairs, out.pairs + step * kStep + k);
  }
}

template <typename T>
void code_rows_of(const Tensor& x, std::int64_t begin, std::int64_t end, const CodedRows& out) {
  for (std::int64_t row = begin; row < end; ++row) {
    const T* values = x.as<T>() + row * x.stride0();
    for (std::int64_t step = 0; step < out.steps; ++step)
      code_step(values + std::min(step * kStep, x.dim(1)), x.dim(1) - step * kStep, out, row * out.steps + step);
  }
}

void code_rows(const Tensor& x, std::int64_t begin, std::int64_t end, const CodedRows& out) {
  x.dtype() == DType::kF32 ? code_rows_of<float>(x, begin, end, out) : code_rows_of<BF16>(x, begin, end, out);
}

}  // namespace caudal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if !CAUDAL_BLOCK_VECTORS
namespace caudal::HWY_NAMESPACE::blocks {

float half_at(const std::uint8_t* p) {
  std::uint16_t bits;
  std::memcpy(&bits, p, sizeof bits);
  return f16_to_float(bits);
}

// The definition: what one step of 32 k adds to `total`. `block` and `packed` (of the step) at the column.
float add_step(const BlockJob& job, std::int64_t at, const std::uint8_t* block, const std::uint8_t* scales,
               const std::uint8_t* codes, float total) {
  const BlockLayout& layout = kLayouts[job.layout];
  const int num_scales = std::max(1, layout.scales_per_step);
  for (int s = 0; s < num_scales; ++s) {
    float scale = half_at(block);
    if (layout.scales_per_step > 0) scale *= static_cast<float>(static_cast<std::int8_t>(scales[s * kPanel]));
    std::int32_t sum = 0;
    for (std::int64_t k = kStep * s / num_scales; k < kStep * (s + 1) / num_scales; ++k)
      sum += job.x.codes[at * kStep + k] * (static_cast<int>(code_at(layout, codes, k)) - job.zero);
    total += scale * job.x.scales[at] * static_cast<float>(sum);
  }
  for (int s = 0; layout.mins && s < num_scales; ++s) {
    float min = half_at(block + 2 * kPanel);
    if (layout.scales_per_step > 0) min *= static_cast<float>(scales[(num_scales + s) * kPanel]);
    total -= min * (job.x.scales[at] * static_cast<float>(sum_of_codes(job.x.sums[at], s, num_scales)));
  }
  return total;
}

float value_of(const BlockJob& job, std::int64_t row, const std::uint8_t* panel, std::int64_t column) {
  const BlockLayout& layout = kLayouts[job.layout];
  float total = 0;
  for (std::int64_t step = 0; step < job.x.steps; ++step) {
    const std::uint8_t* block = panel + step / layout.steps * layout.block_bytes();
    const std::uint8_t* packed = block + layout.header_bytes() + step % layout.steps * layout.step_bytes();
    total = add_step(job, row * job.x.steps + step, block + 2 * column, packed + column,
                     packed + layout.scale_bytes() + 4 * column, total);
  }
  return total;
}

void panels(const BlockJob& job, std::int64_t begin, std::int64_t end) {
  const F32 d;
  for (std::int64_t column = begin * kPanel; column < std::min(end * kPanel, job.weight->out_features); ++column) {
    const auto* panel = job.weight->panel<std::uint8_t>(column / kPanel);
    for (std::int64_t row = 0; row < job.x.num_rows; ++row) {
      const V32 value = hn::Set(d, value_of(job, row, panel, column % kPanel) + job.weight->bias[column]);
      const std::int64_t at = row * job.out->stride0() + column;
      job.out->dtype() == DType::kF32 ? store(value, d, job.out->as<float>() + at, 1)
                                      : store(value, d, job.out->as<BF16>() + at, 1);
    }
  }
}

}  // namespace caudal::HWY_NAMESPACE::blocks
#else
#define CAUDAL_VNNI 0
#define CAUDAL_BLOCKS blocks
#include "kernels/cpu/matmul/block_kernel-inl.h"
#undef CAUDAL_VNNI
#undef CAUDAL_BLOCKS
#endif
#if HWY_TARGET == HWY_AVX3
#define CAUDAL_VNNI 1
#define CAUDAL_BLOCKS blocks_vnni
#include "kernels/cpu/matmul/block_kernel-inl.h"
#undef CAUDAL_VNNI
#undef CAUDAL_BLOCKS
#endif

HWY_BEFORE_NAMESPACE();
namespace caudal::HWY_NAMESPACE {

void block_panels(const BlockJob& job, std::int64_t begin, std::int64_t end) { blocks::panels(job, begin, end); }

// Only where Isa::kAvx512Vnni is allowed.
void block_panels_vnni(const BlockJob& job, std::int64_t begin, std::int64_t end) {
#if HWY_TARGET == HWY_AVX3
  blocks_vnni::panels(job, begin, end);
#else
  blocks::panels(job, begin, end);
#endif
}

}  // namespace caudal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace caudal {
namespace {

// Memory for the codes of so many rows, in one piece.
CodedRows allocate_codes(CpuContext& context, std::int64_t num_rows, std::int64_t steps) {
  const std::size_t count = num_rows * steps;
  constexpr std::size_t kStepBytes = kStep * 3 + sizeof(float) + 2 * sizeof(std::int32_t);
  auto* memory = context.op_scratch().get<std::byte>(count * kStepBytes);
  CodedRows rows{
      .num_rows = num_rows, .steps = steps, .codes = nullptr, .pairs = nullptr, .scales = nullptr, .sums = nullptr};
  rows.pairs = reinterpret_cast<std::int16_t*>(memory), memory += count * kStep * 2;
  rows.codes = reinterpret_cast<std::int8_t*>(memory), memory += count * kStep;
  rows.scales = reinterpret_cast<float*>(memory), memory += count * sizeof(float);
  rows.sums = reinterpret_cast<std::int32_t(*)[2]>(memory);
  return rows;
}

}  // namespace

HWY_EXPORT(code_rows);
HWY_EXPORT(block_panels);
HWY_EXPORT(block_panels_vnni);

void multiply_blocks(CpuContext& context, const Tensor& x, const PackedMatrix& weight, std::size_t layout, int zero,
                     const Tensor& out) {
  const BlockLayout& blocks = kLayouts[layout];
  const auto steps = static_cast<std::int64_t>(weight.panel_bytes) / blocks.block_bytes() * blocks.steps;
  const BlockJob job{allocate_codes(context, x.dim(0), steps), &weight, layout, zero, &out};
  context.parallel_for(x.dim(0), [&](std::int64_t begin, std::int64_t end) {
    CAUDAL_SIMD(context, code_rows)(x, begin, end, job.x);
  });
  const bool vnni = context.isa() >= Isa::kAvx512Vnni;
  for_panels(context, weight.num_panels(), [&](std::int64_t begin, std::int64_t end, int) {
    vnni ? CAUDAL_SIMD(context, block_panels_vnni)(job, begin, end)
         : CAUDAL_SIMD(context, block_panels)(job, begin, end);
  });
}

}  // namespace caudal
#endif  // HWY_ONCE
