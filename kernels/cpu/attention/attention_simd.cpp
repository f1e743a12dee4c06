// Attention without AMX, and in f32. K and V of a tile become f32 once per task; then queries sit in lanes and
// K, V and probabilities are broadcast, so no sum crosses lanes.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention/attention_simd.cpp"
#include <hwy/foreach_target.h>
// foreach_target first
#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/attention/attention.h"
#include "kernels/cpu/cpu_context.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace caudal::HWY_NAMESPACE {

constexpr int kUnroll = 8;  // independent sums, to hide the latency of fused multiply-add

// rows [token_end - token_begin, head_dim], f32
template <typename T>
void widen_cache(const AttentionJob& job, const QueryRows& rows, const Tensor& cache, std::int64_t begin,
                 std::int64_t end, float* out) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t token = begin; token < end; ++token) {
    const T* row = cache_row<T>(cache, job, rows, token);
    for (std::int64_t i = 0; i < job.head_dim; i += lanes) hn::StoreU(load_full(d, row + i), d, out + i);
    out += job.head_dim;
  }
}

// sum[i] = start[i] + values[i * i_stride + j * j_stride] * lanes[j][16], j = 0 .. count - 1 in order: 8 sums at once.
HWY_INLINE void accumulate(const float* values, std::int64_t i_stride, std::int64_t j_stride, const float* lane_rows,
                           std::int64_t count, V32 (&sum)[kUnroll]) {
  const F32 d;
  for (std::int64_t j = 0; j < count; ++j) {
    const V32 lanes = hn::LoadU(d, lane_rows + j * kQueryLanes);
    for (int i = 0; i < kUnroll; ++i)
      sum[i] = hn::MulAdd(hn::Set(d, values[i * i_stride + j * j_stride]), lanes, sum[i]);
  }
}

// The lanes of one query tile that one vector holds: scores, softmax and weighted sum over one KV tile.
struct LaneTile {
  const float* k;      // [count rounded up to 8, head_dim]
  const float* v;      // [count, head_dim]
  std::int64_t begin;  // position of the first key
  std::int64_t count;
  bool masked;
  float window_begin;  // a key is seen when position - window_begin < key <= position
  hn::Vec<F32> position;
};

void score_tile(const AttentionJob& job, const LaneTile& tile, const float* query, float* scores) {
  const F32 d;
  const V32 scale = hn::Set(d, job.params.scale), cap = hn::Set(d, job.params.soft_cap);
  for (std::int64_t t = 0; t < tile.count; t += kUnroll) {
    V32 sum[kUnroll];
    for (V32& s : sum) s = hn::Zero(d);
    accumulate(tile.k + t * job.head_dim, job.head_dim, 1, query, job.head_dim, sum);
    for (int i = 0; i < kUnroll; ++i) {
      V32 score = hn::Mul(sum[i], scale);
      if (job.params.soft_cap > 0.0F) score = hn::Mul(cap, hn::Tanh(d, hn::Div(score, cap)));
      if (tile.masked) {
        const V32 key = hn::Set(d, static_cast<float>(tile.begin + t + i));
        const V32 oldest = hn::Sub(tile.position, hn::Set(d, tile.window_begin));
        const auto seen = hn::And(hn::Le(key, tile.position), hn::Gt(key, oldest));
        score = hn::IfThenElse(seen, score, hn::Set(d, -std::numeric_limits<float>::infinity()));
      }
      hn::StoreU(score, d, scores + (t + i) * kQueryLanes);
    }
  }
}

// exp(x) for x <= 0; exactly 1 at 0 and exactly 0 from -100 down: what a masked key adds must be nothing.
HWY_INLINE V32 exp_negative(F32 d, V32 x) {
  const V32 lowest = hn::Set(d, -100.0F);
  return hn::IfThenElseZero(hn::Gt(x, lowest), hn::Exp(d, hn::Max(x, lowest)));
}

void softmax_tile(const LaneTile& tile, float* scores, float* state, std::int64_t head_dim) {
  const F32 d;
  const V32 old_max = hn::LoadU(d, state);
  V32 new_max = old_max;
  for (std::int64_t t = 0; t < tile.count; ++t) new_max = hn::Max(new_max, hn::LoadU(d, scores + t * kQueryLanes));
  V32 sum = hn::Zero(d);
  for (std::int64_t t = 0; t < tile.count; ++t) {
    const V32 p = exp_negative(d, hn::Sub(hn::LoadU(d, scores + t * kQueryLanes), new_max));
    hn::StoreU(p, d, scores + t * kQueryLanes);
    sum = hn::Add(sum, p);
  }
  const V32 shrink = exp_negative(d, hn::Sub(old_max, new_max));
  hn::StoreU(new_max, d, state);
  hn::StoreU(hn::MulAdd(hn::LoadU(d, state + kQueryLanes), shrink, sum), d, state + kQueryLanes);
  for (std::int64_t i = 0; i < head_dim; i += kUnroll) {
    float* acc = state + (2 + i) * kQueryLanes;
    V32 weighted[kUnroll];
    for (int j = 0; j < kUnroll; ++j) weighted[j] = hn::Mul(hn::LoadU(d, acc + j * kQueryLanes), shrink);
    accumulate(tile.v + i, 1, head_dim, scores, tile.count, weighted);
    for (int j = 0; j < kUnroll; ++j) hn::StoreU(weighted[j], d, acc + j * kQueryLanes);
  }
}

void attend_query_tile(const AttentionJob& job, const QueryRows& rows, std::int64_t index, LaneTile tile,
                       const float* query, float* state, float* scores) {
  const F32 d;
  float positions[kQueryLanes];
  for (std::int64_t lane = 0; lane < kQueryLanes; ++lane) {
    const std::int64_t pair = index * kQueryLanes + lane;
    positions[lane] = pair < rows.num_pairs() ? static_cast<float>(rows.position(pair)) : -1.0F;
  }
  for (std::int64_t lane = 0; lane < kQueryLanes; lane += static_cast<std::int64_t>(hn::Lanes(d))) {
    tile.position = hn::LoadU(d, positions + lane);
    score_tile(job, tile, query + lane, scores + lane);
    softmax_tile(tile, scores + lane, state + lane, job.head_dim);
  }
}

template <typename T>
void attend_typed(const AttentionJob& job, const QueryRows& rows, std::int64_t begin, std::int64_t end,
                  const float* queries, float* states, float* work) {
  float* k = work;
  float* v = k + kKvTile * job.head_dim;
  float* scores = v + kKvTile * job.head_dim;
  const std::int64_t window = job.params.sliding_window, last_tile = rows.num_tiles() - 1;
  begin = std::max(begin, key_range(rows, 0, window).begin / kKvTile * kKvTile);
  end = std::min(end, key_range(rows, last_tile, window).end);
  std::fill_n(k, kKvTile * job.head_dim, 0.0F);  // rows past the last key are scored, and ignored
  for (std::int64_t first = begin; first < end; first += kKvTile) {
    const std::int64_t count = std::min(kKvTile, end - first);
    widen_cache<T>(job, rows, job.k_cache, first, first + count, k);
    widen_cache<T>(job, rows, job.v_cache, first, first + count, v);
    for (std::int64_t index = 0; index <= last_tile; ++index) {
      const KeyRange keys = key_range(rows, index, window);
      if (first >= keys.end || first + count <= keys.begin) continue;
      const bool masked = first < keys.all_begin || first + count > keys.all_end ||
                          (index == last_tile && rows.num_pairs() % kQueryLanes != 0);
      const float reach = window == 0 ? std::numeric_limits<float>::max() : static_cast<float>(window);
      const LaneTile tile{k, v, first, std::min(count, keys.end - first), masked, reach, {}};
      attend_query_tile(job, rows, index, tile, queries + index * job.head_dim * kQueryLanes,
                        states + index * state_floats(job.head_dim), scores);
    }
  }
}

void attend_tiles(const AttentionJob& job, const QueryRows& rows, std::int64_t begin, std::int64_t end,
                  const void* packed, float* states, void* work) {
  const auto* queries = static_cast<const float*>(packed);
  auto* floats = static_cast<float*>(work);
  const DType dtype = job.k_cache.dtype();
  if (dtype == DType::kF32) return attend_typed<float>(job, rows, begin, end, queries, states, floats);
  if (dtype == DType::kBF16) return attend_typed<BF16>(job, rows, begin, end, queries, states, floats);
  attend_typed<hwy::float16_t>(job, rows, begin, end, queries, states, floats);
}

void fold_states(const AttentionJob& job, float* state, const float* next) {
  const F32 d;
  for (std::int64_t lane = 0; lane < kQueryLanes; lane += static_cast<std::int64_t>(hn::Lanes(d))) {
    float* a = state + lane;
    const float* b = next + lane;
    const V32 max_a = hn::LoadU(d, a), max_b = hn::LoadU(d, b), max = hn::Max(max_a, max_b);
    const V32 shrink_a = exp_negative(d, hn::Sub(max_a, max)), shrink_b = exp_negative(d, hn::Sub(max_b, max));
    hn::StoreU(max, d, a);
    for (std::int64_t i = 1; i < 2 + job.head_dim; ++i) {
      float* value = a + i * kQueryLanes;
      const V32 scaled_b = hn::Mul(hn::LoadU(d, b + i * kQueryLanes), shrink_b);
      hn::StoreU(hn::MulAdd(hn::LoadU(d, value), shrink_a, scaled_b), d, value);
    }
  }
}

}  // namespace caudal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace caudal {

HWY_EXPORT(attend_tiles);
HWY_EXPORT(fold_states);

namespace {

// [head_dim][16] f32
void pack_query(const AttentionJob& job, const QueryRows& rows, std::int64_t tile, void* packed) {
  auto* out = static_cast<float*>(packed);
  std::fill_n(out, job.head_dim * kQueryLanes, 0.0F);
  const std::int64_t first = tile * kQueryLanes, end = std::min(rows.num_pairs(), first + kQueryLanes);
  for (std::int64_t pair = first; pair < end; ++pair) {
    const std::int64_t offset = rows.row(pair) * job.q.stride0() + rows.head(pair) * job.head_dim;
    for (std::int64_t d = 0; d < job.head_dim; ++d) {
      const bool f32 = job.q.dtype() == DType::kF32;
      out[d * kQueryLanes + pair - first] =
          f32 ? job.q.as<float>()[offset + d] : to_float(job.q.as<BF16>()[offset + d]);
    }
  }
}

}  // namespace

CpuAttentionKernel attention_simd(const CpuContext& context, std::int64_t head_dim) {
  CpuAttentionKernel kernel;
  kernel.query_bytes = head_dim * kQueryLanes * sizeof(float);
  kernel.work_bytes = kKvTile * (2 * head_dim + kQueryLanes) * sizeof(float);
  kernel.pack_query = pack_query;
  kernel.attend = CAUDAL_SIMD(context, attend_tiles);
  kernel.fold = CAUDAL_SIMD(context, fold_states);
  return kernel;
}

}  // namespace caudal
#endif  // HWY_ONCE
