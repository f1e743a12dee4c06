// Matmul by weights in Q8_0 blocks (q8_0.h). Few rows read the bytes themselves; for more, a part of a panel
// becomes f32 first and stays in the cache.
// This file is compiled without fused multiply-adds of the compiler's own, so that all targets round alike.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/matmul/q8_0_simd.cpp"
#include <hwy/foreach_target.h>
// foreach_target first
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_context.h"
#include "kernels/cpu/matmul/q8_0.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/simd.h"
#include "kernels/half_float.h"

HWY_BEFORE_NAMESPACE();
namespace caudal::HWY_NAMESPACE::q8_0 {

constexpr int kLanes = static_cast<int>(hn::MaxLanes(F32()));
constexpr int kPanelVectors = static_cast<int>(kPanel) / kLanes;
constexpr int kMaxRows = 6;
constexpr int kFewRows = 3;               // read the bytes themselves
constexpr std::int64_t kChunkBlocks = 6;  // that become f32 at a time

// Vectors of columns that so many rows take at a time, and blocks that one row or two do: eight or more chains of
// additions hide what an addition takes.
template <int kRows>
constexpr int kVectors = kRows * kPanelVectors <= 12 ? kPanelVectors : std::min(2, kPanelVectors);
template <int kRows>
constexpr int kBlocks = std::max(1, 8 / (kRows * kVectors<kRows>));

// a * b + c, rounded once.
HWY_INLINE V32 multiply_add(V32 a, V32 b, V32 c) {
#if HWY_NATIVE_FMA
  return hn::MulAdd(a, b, c);
#else
  const F32 d;
  float x[kLanes], y[kLanes], z[kLanes];
  hn::StoreU(a, d, x), hn::StoreU(b, d, y), hn::StoreU(c, d, z);
  for (int i = 0; i < kLanes; ++i) z[i] = std::fma(x[i], y[i], z[i]);
  return hn::LoadU(d, z);
#endif
}

HWY_INLINE V32 load_codes(const float* p) { return hn::LoadU(F32(), p); }
HWY_INLINE V32 load_codes(const std::int8_t* p) {
  return hn::ConvertTo(F32(), hn::PromoteTo(I32(), hn::LoadU(hn::Rebind<std::int8_t, F32>(), p)));
}

HWY_INLINE void prefetch(const std::int8_t* p) { hwy::Prefetch(p + (2 << 10)); }
HWY_INLINE void prefetch(const float*) {}

// Blocks of one panel whose codes are T: bytes as they are packed, or f32.
template <typename T>
struct Codes {
  const std::byte* scales;  // f16 [32], kQ8_0BlockBytes apart
  const T* codes;           // [32 k, 32], `stride` apart
  std::int64_t stride;
};

// Adds kCount blocks to totals [kRows][32]; x of the first of kRows rows, at the first block.
template <int kRows, int kCount, typename T>
HWY_INLINE void add_blocks(const Codes<T>& codes, std::int64_t first, const float* x, std::int64_t x_stride,
                           std::int64_t column, float* totals) {
  const F32 d;
  V32 sum[kCount][kRows][kVectors<kRows>];
  for (auto& rows : sum)
    for (auto& row : rows)
      for (V32& each : row) each = hn::Zero(d);
  const T* base = codes.codes + first * codes.stride + column;
  x += first * kBlockK;
  for (std::int64_t k = 0; k < kBlockK; ++k) {
    for (std::int64_t b = 0; b < kCount; ++b) {
      if (sizeof(T) == 1 && k % 2 == 0) prefetch(base + b * codes.stride + k * kPanel);
      V32 code[kVectors<kRows>];
      for (std::int64_t v = 0; v < kVectors<kRows>; ++v)
        code[v] = load_codes(base + b * codes.stride + k * kPanel + v * kLanes);
      for (std::int64_t r = 0; r < kRows; ++r) {
        const V32 value = hn::Set(d, x[r * x_stride + b * kBlockK + k]);
        for (std::int64_t v = 0; v < kVectors<kRows>; ++v) sum[b][r][v] = multiply_add(value, code[v], sum[b][r][v]);
      }
    }
  }
  const hn::Rebind<hwy::float16_t, F32> d16;
  for (std::int64_t v = 0; v < kVectors<kRows>; ++v) {
    for (std::int64_t b = 0; b < kCount; ++b) {
      const auto* halves =
          reinterpret_cast<const hwy::float16_t*>(codes.scales + (first + b) * kQ8_0BlockBytes) + column + v * kLanes;
      const V32 scale = hn::PromoteTo(d, hn::LoadU(d16, halves));
      for (std::int64_t r = 0; r < kRows; ++r) {
        float* total = totals + r * kPanel + column + v * kLanes;
        hn::StoreU(multiply_add(scale, sum[b][r][v], hn::LoadU(d, total)), d, total);
      }
    }
  }
}

// `count` blocks, for rows from `row` on, kRows at a time; then the rest. x at the first block.
template <int kRows, typename T>
void add_rows(const Q8_0Job& job, const Codes<T>& codes, std::int64_t count, std::int64_t row, const float* x,
              float* totals) {
  for (; row + kRows <= job.num_rows; row += kRows) {
    for (std::int64_t column = 0; column < kPanel; column += kVectors<kRows> * kLanes) {
      const float* from = x + row * job.x_stride;
      float* to = totals + row * kPanel;
      std::int64_t b = 0;
      for (; b + kBlocks<kRows> <= count; b += kBlocks<kRows>)
        add_blocks<kRows, kBlocks<kRows>>(codes, b, from, job.x_stride, column, to);
      for (; b < count; ++b) add_blocks<kRows, 1>(codes, b, from, job.x_stride, column, to);
    }
  }
  if constexpr (kRows > 1) add_rows<kRows - 1>(job, codes, count, row, x, totals);
}

inline const std::int8_t* codes_of(const std::byte* block) {
  return reinterpret_cast<const std::int8_t*>(block + kQ8_0ScaleBytes);
}

void add_few_rows(const Q8_0Job& job, const std::byte* panel, float* totals) {
  add_rows<kFewRows>(job, Codes<std::int8_t>{panel, codes_of(panel), kQ8_0BlockBytes}, job.num_blocks, 0, job.x,
                     totals);
}

void add_many_rows(const Q8_0Job& job, const std::byte* panel, float* expanded, float* totals) {
  constexpr std::int64_t kValues = kBlockK * kPanel;
  for (std::int64_t block = 0; block < job.num_blocks; block += kChunkBlocks) {
    const std::byte* first = panel + block * kQ8_0BlockBytes;
    const std::int64_t count = std::min(kChunkBlocks, job.num_blocks - block);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::byte* from = first + i * kQ8_0BlockBytes;
      for (std::int64_t at = 0; at < kValues; at += kLanes) {
        if (at % 64 == 0) prefetch(codes_of(from) + at);
        hn::StoreU(load_codes(codes_of(from) + at), F32(), expanded + i * kValues + at);
      }
    }
    add_rows<kMaxRows>(job, Codes<float>{first, expanded, kValues}, count, 0, job.x + block * kBlockK, totals);
  }
}

// totals [num_rows][32] and the bias, to the columns of a panel.
void write(const Q8_0Job& job, std::int64_t panel, const float* totals) {
  const F32 d;
  const std::int64_t first = panel * kPanel, columns = std::min(kPanel, job.weight->out_features - first);
  for (std::int64_t row = 0; row < job.num_rows; ++row) {
    for (std::int64_t column = 0; column < columns; column += kLanes) {
      const std::int64_t at = row * job.out->stride0() + first + column;
      const V32 bias = hn::LoadU(d, job.weight->bias + first + column);
      const V32 value = hn::Add(hn::LoadU(d, totals + row * kPanel + column), bias);
      job.out->dtype() == DType::kF32 ? store(value, d, job.out->as<float>() + at, columns - column)
                                      : store(value, d, job.out->as<BF16>() + at, columns - column);
    }
  }
}

void panels(const Q8_0Job& job, std::int64_t begin, std::int64_t end, Scratch& scratch) {
  const bool few = job.num_rows <= kFewRows;
  const std::int64_t expanded = few ? 0 : kChunkBlocks * kBlockK * kPanel;
  auto* memory = scratch.get<float>(expanded + job.num_rows * kPanel);
  float* totals = memory + expanded;
  for (std::int64_t panel = begin; panel < end; ++panel) {
    std::fill_n(totals, job.num_rows * kPanel, 0.0F);
    few ? add_few_rows(job, job.weight->panel(panel), totals)
        : add_many_rows(job, job.weight->panel(panel), memory, totals);
    write(job, panel, totals);
  }
}

}  // namespace caudal::HWY_NAMESPACE::q8_0
namespace caudal::HWY_NAMESPACE {
void q8_0_panels(const Q8_0Job& job, std::int64_t begin, std::int64_t end, Scratch& scratch) {
  q8_0::panels(job, begin, end, scratch);
}
}  // namespace caudal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace caudal {

HWY_EXPORT(q8_0_panels);

void multiply_q8_0(CpuContext& context, const Tensor& x, const PackedMatrix& weight, const Tensor& out) {
  const auto num_blocks = static_cast<std::int64_t>(weight.panel_bytes) / kQ8_0BlockBytes, width = num_blocks * kBlockK;
  Q8_0Job job{.x = x.as<float>(),
              .x_stride = x.stride0(),
              .num_rows = x.dim(0),
              .num_blocks = num_blocks,
              .weight = &weight,
              .out = &out};
  if (x.dtype() != DType::kF32 || x.dim(1) != width) {
    auto* rows = context.op_scratch().get<float>(x.dim(0) * width);
    context.parallel_for(x.dim(0), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        widen(x.dtype(), x.rows(row, 1).data(), x.dim(1), rows + row * width);
        std::fill(rows + row * width + x.dim(1), rows + (row + 1) * width, 0.0F);
      }
    });
    job.x = rows, job.x_stride = width;
  }
  for_panels(context, weight.num_panels(), [&](std::int64_t begin, std::int64_t end, int thread) {
    CAUDAL_SIMD(context, q8_0_panels)(job, begin, end, context.thread_scratch(thread));
  });
}

}  // namespace caudal
#endif  // HWY_ONCE
