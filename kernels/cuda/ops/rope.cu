// Per-head norm of q and k (optional), rotary embedding and the write of k and v into the paged cache; see
// kernels/cpu/rope.cpp. One warp per head of a token: lanes hold the pairs (i, i + head_dim / 2), kSize neighbours
// at a time.
#include "kernels/cuda/device/dispatch.h"
#include "kernels/cuda/device/primitives.cuh"
#include "kernels/cuda/ops/ops.h"
#include "kernels/expect.h"

namespace caudal::cuda {
namespace {

constexpr int kWarps = 4, kMaxHalf = 128;

template <class T>
struct RopeParams {
  T* qkv;
  const std::int32_t *positions, *cache_slot;
  const float* cos_sin;  // [max_position, 2, half]
  const T *q_norm, *k_norm;
  T *k_cache, *v_cache;
  std::int64_t qkv_stride, cos_sin_stride, num_tokens, max_position, num_slots;
  int num_heads, num_kv_heads, head_dim;
  float eps;
};

// The pairs of one lane: elements lane * kSize + 32 kSize n of both halves.
template <class T, int kSize>
struct Pairs {
  static constexpr int kParts = kMaxHalf / (32 * kSize);
  Vec<T, kSize> low[kParts], high[kParts];

  // fn(part, first element) for the parts that a head of this size has.
  template <class F>
  __device__ __forceinline__ static void for_parts(int half, F fn) {
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int i = (part * 32 + static_cast<int>(threadIdx.x) % 32) * kSize;
      if (i < half) fn(part, i);
    }
  }
};

template <class T, int kSize>
__device__ __forceinline__ void normalise(Pairs<T, kSize>& pairs, const T* norm, int half, float eps) {
  float squares = 0.0F;
  Pairs<T, kSize>::for_parts(half, [&](int part, int) {
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      const float low = to_float(pairs.low[part].value[j]), high = to_float(pairs.high[part].value[j]);
      squares += low * low + high * high;
    }
  });
  const float inverse = 1.0F / sqrtf(warp_sum(squares) / static_cast<float>(2 * half) + eps);
  const auto scaled = [&](T x, T weight) {
    return from_float<T>(rounded<T>(to_float(x) * inverse) * to_float(weight));
  };
  Pairs<T, kSize>::for_parts(half, [&](int part, int i) {
    const Vec<T, kSize> low = load_vec<T, kSize>(norm + i), high = load_vec<T, kSize>(norm + half + i);
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      pairs.low[part].value[j] = scaled(pairs.low[part].value[j], low.value[j]);
      pairs.high[part].value[j] = scaled(pairs.high[part].value[j], high.value[j]);
    }
  });
}

template <class T, int kSize>
__device__ __forceinline__ void rotate(Pairs<T, kSize>& pairs, const float* cos, int half) {
  Pairs<T, kSize>::for_parts(half, [&](int part, int i) {
    const Vec<float, kSize> c = load_vec<float, kSize>(cos + i), s = load_vec<float, kSize>(cos + half + i);
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      const float low = to_float(pairs.low[part].value[j]), high = to_float(pairs.high[part].value[j]);
      pairs.low[part].value[j] = from_float<T>(low * c.value[j] - high * s.value[j]);
      pairs.high[part].value[j] = from_float<T>(high * c.value[j] + low * s.value[j]);
    }
  });
}

template <class T, int kSize>
__device__ __forceinline__ void store_pairs(const Pairs<T, kSize>& pairs, T* head, int half) {
  Pairs<T, kSize>::for_parts(half, [&](int part, int i) {
    store_vec(head + i, pairs.low[part]);
    store_vec(head + half + i, pairs.high[part]);
  });
}

template <class T, int kSize>
__global__ void __launch_bounds__(32 * kWarps) rope_kernel(const __grid_constant__ RopeParams<T> p) {
  const int heads = p.num_heads + 2 * p.num_kv_heads, half = p.head_dim / 2;
  const std::int64_t item = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  const std::int64_t token = item / heads;
  const int h = static_cast<int>(item % heads), kv_head = h - p.num_heads;
  if (token >= p.num_tokens) return;
  const std::int64_t slot = p.cache_slot[token], position = p.positions[token];
  if (slot < 0) return;
  if (slot >= p.num_slots || position < 0 || position >= p.max_position) __trap();
  T* head = p.qkv + token * p.qkv_stride + h * p.head_dim;
  Pairs<T, kSize> pairs;
  Pairs<T, kSize>::for_parts(half, [&](int part, int i) {
    pairs.low[part] = load_vec<T, kSize>(head + i);
    pairs.high[part] = load_vec<T, kSize>(head + half + i);
  });
  const bool is_q = kv_head < 0, is_v = kv_head >= p.num_kv_heads;
  if (!is_v) {
    const T* norm = is_q ? p.q_norm : p.k_norm;
    if (norm != nullptr) normalise(pairs, norm, half, p.eps);
    rotate(pairs, p.cos_sin + position * p.cos_sin_stride, half);
    store_pairs(pairs, head, half);
  }
  if (is_q) return;
  T* cache = is_v ? p.v_cache : p.k_cache;
  const std::int64_t kv_index = is_v ? kv_head - p.num_kv_heads : kv_head;
  store_pairs(pairs, cache + (slot * p.num_kv_heads + kv_index) * p.head_dim, half);
}

}  // namespace

void launch(const op::RopeAndCache& args, cudaStream_t stream) {
  const std::int64_t num_tokens = args.qkv.dim(0), num_kv_heads = args.k_cache.dim(2), head_dim = args.k_cache.dim(3);
  Expect(args.kName).that(head_dim <= 2 * kMaxHalf, "head_dim must be at most 256");
  if (num_tokens == 0) return;
  dispatch_float(args.qkv.dtype(), [&]<class T>(std::type_identity<T>) {
    RopeParams<T> params{};
    params.qkv = args.qkv.as<T>();
    params.positions = args.positions.as<std::int32_t>();
    params.cache_slot = args.cache_slot.as<std::int32_t>();
    params.cos_sin = args.cos_sin.as<float>();
    params.q_norm = args.q_norm.as<T>();
    params.k_norm = args.k_norm.as<T>();
    params.k_cache = args.k_cache.as<T>();
    params.v_cache = args.v_cache.as<T>();
    params.qkv_stride = args.qkv.stride0();
    params.cos_sin_stride = args.cos_sin.stride0();
    params.num_tokens = num_tokens;
    params.max_position = args.cos_sin.dim(0);
    params.num_slots = args.k_cache.dim(0) * kBlockSize;
    params.num_kv_heads = static_cast<int>(num_kv_heads);
    params.head_dim = static_cast<int>(head_dim);
    params.num_heads = static_cast<int>(args.qkv.dim(1) / head_dim - 2 * num_kv_heads);
    params.eps = args.norm_eps;
    const std::int64_t heads = args.qkv.dim(1) / head_dim;
    const dim3 grid(static_cast<unsigned>(ceil_div(num_tokens * heads, kWarps)));
    // Reads qkv once, writes q and k back and k and v to the cache: about 2.5 times qkv.bytes() with few KV heads.
    const bool by_two = head_dim % 4 == 0 && params.qkv_stride % 2 == 0 && params.cos_sin_stride % 2 == 0;
    if (by_two) {
      simt::launch(rope_kernel<T, 2>, grid, 32 * kWarps, 0, stream, params);
    } else {
      simt::launch(rope_kernel<T, 1>, grid, 32 * kWarps, 0, stream, params);
    }
  });
}

}  // namespace caudal::cuda
