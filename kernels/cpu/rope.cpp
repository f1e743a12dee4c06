// Per-head norm of q and k (Qwen3; optional), rotary embedding (Su et al., arXiv 2104.09864, "rotate half"
// layout) and the write of k and v into the paged cache, in one pass over a token's qkv row:
//
//   qkv row   | q head 0 | q head 1 | ... | k head 0 | ... | v head 0 | ... |
//             each head: pairs (i, i + head_dim / 2) turn by position * frequency i
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/rope.cpp"
#include <hwy/foreach_target.h>
// foreach_target first
#include <hwy/highway.h>

#include <cmath>
#include <cstring>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace caudal::HWY_NAMESPACE {

template <typename T>
float inverse_rms(const T* head, std::int64_t head_dim, float eps) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V32 sum = hn::Zero(d);
  for (std::int64_t i = 0; i < head_dim; i += lanes) {
    const V32 v = load(d, head + i, head_dim - i);
    sum = hn::MulAdd(v, v, sum);
  }
  const float mean_square = hn::GetLane(hn::SumOfLanes(d, sum)) / static_cast<float>(head_dim);
  return 1.0F / std::sqrt(mean_square + eps);
}

// head [2 * half] in place; norm [2 * half] or null; cos, sin [half].
template <typename T>
void rotate_head(T* head, const T* norm, float eps, const float* cos, const float* sin, std::int64_t half) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V32 scale = hn::Set(d, norm == nullptr ? 1.0F : inverse_rms(head, 2 * half, eps));
  for (std::int64_t i = 0; i < half; i += lanes) {
    const std::int64_t left = half - i;
    V32 low = load(d, head + i, left), high = load(d, head + half + i, left);
    if (norm != nullptr) {
      low = round_to<T>(d, hn::Mul(round_to<T>(d, hn::Mul(low, scale)), load(d, norm + i, left)));
      high = round_to<T>(d, hn::Mul(round_to<T>(d, hn::Mul(high, scale)), load(d, norm + half + i, left)));
    }
    const V32 c = load(d, cos + i, left), s = load(d, sin + i, left);
    store(hn::Sub(hn::Mul(low, c), hn::Mul(high, s)), d, head + i, left);
    store(hn::Add(hn::Mul(high, c), hn::Mul(low, s)), d, head + half + i, left);
  }
}

template <typename T, typename Kv>
void write_cache(const T* values, std::int64_t count, Kv* cache) {
  const F32 d;
  for (std::int64_t i = 0; i < count; i += static_cast<std::int64_t>(hn::Lanes(d)))
    store(load(d, values + i, count - i), d, cache + i, count - i);
}

template <typename T, typename Kv>
void rope_and_cache_rows(const op::RopeAndCache& args, std::int64_t begin, std::int64_t end) {
  const std::int64_t num_kv_heads = args.k_cache.dim(2), head_dim = args.k_cache.dim(3), half = head_dim / 2;
  const std::int64_t num_heads = args.qkv.dim(1) / head_dim - 2 * num_kv_heads;
  const std::int64_t kv_elements = num_kv_heads * head_dim;  // of one token in a cache
  for (std::int64_t token = begin; token < end; ++token) {
    const std::int64_t position = args.positions.as<std::int32_t>()[token];
    const std::int64_t slot = args.cache_slot.as<std::int32_t>()[token];
    CHECK(position >= 0 && position < args.cos_sin.dim(0));
    CHECK(slot >= 0 && slot < args.k_cache.dim(0) * kBlockSize);
    const float* cos = args.cos_sin.as<float>() + position * args.cos_sin.stride0();
    T* q = args.qkv.as<T>() + token * args.qkv.stride0();
    T* k = q + num_heads * head_dim;
    for (std::int64_t h = 0; h < num_heads; ++h) {
      rotate_head(q + h * head_dim, args.q_norm.as<T>(), args.norm_eps, cos, cos + half, half);
    }
    for (std::int64_t h = 0; h < num_kv_heads; ++h) {
      rotate_head(k + h * head_dim, args.k_norm.as<T>(), args.norm_eps, cos, cos + half, half);
    }
    write_cache(k, kv_elements, args.k_cache.as<Kv>() + slot * kv_elements);
    write_cache(k + kv_elements, kv_elements, args.v_cache.as<Kv>() + slot * kv_elements);
  }
}

void rope_and_cache_any(const op::RopeAndCache& args, std::int64_t begin, std::int64_t end) {
  if (args.qkv.dtype() == DType::kBF16) return rope_and_cache_rows<BF16, BF16>(args, begin, end);
  if (args.kv_dtype() == DType::kF32) return rope_and_cache_rows<float, float>(args, begin, end);
  rope_and_cache_rows<float, hwy::float16_t>(args, begin, end);
}

}  // namespace caudal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace caudal {

HWY_EXPORT(rope_and_cache_any);

void compute(CpuContext& context, const op::RopeAndCache& o) {
  for_rows(context, o.qkv, [&](std::int64_t begin, std::int64_t end) {
    CAUDAL_SIMD(context, rope_and_cache_any)(o, begin, end);
  });
}

}  // namespace caudal
#endif  // HWY_ONCE
