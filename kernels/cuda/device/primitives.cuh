// The small vocabulary of the kernels: conversions, 16-byte vectors, reductions over warp and block, the state
// of an online softmax. Element types are float, __nv_bfloat16 and __half; arithmetic happens in f32.
#pragma once

#include "kernels/cuda/device/ptx.cuh"

namespace caudal::cuda {

constexpr float kLog2e = 1.4426950408889634F;
constexpr unsigned kAllLanes = 0xFFFFFFFFU;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }

// Rounds to nearest even.
template <class T>
__device__ __forceinline__ T from_float(float x) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    return __float2bfloat16(x);
  } else if constexpr (std::is_same_v<T, __half>) {
    return __float2half(x);
  } else {
    return x;
  }
}
// x as it would be after a store in T.
template <class T>
__device__ __forceinline__ float rounded(float x) {
  return to_float(from_float<T>(x));
}

// kSize elements moved by one instruction; 16 bytes unless rows are not made of those.
template <class T, int kSize = 16 / static_cast<int>(sizeof(T))>
struct alignas(sizeof(T) * kSize) Vec {
  T value[kSize];
};
template <int kBytes>
struct WordOf;
template <>
struct WordOf<2> {
  using Type = uint16_t;
};
template <>
struct WordOf<4> {
  using Type = uint32_t;
};
template <>
struct WordOf<8> {
  using Type = uint2;
};
template <>
struct WordOf<16> {
  using Type = uint4;
};
template <class T, int kSize = 16 / static_cast<int>(sizeof(T))>
__device__ __forceinline__ Vec<T, kSize> load_vec(const T* p) {
  using Word = typename WordOf<sizeof(T) * kSize>::Type;
  const Word word = *reinterpret_cast<const Word*>(p);
  Vec<T, kSize> vec;
  memcpy(&vec, &word, sizeof vec);
  return vec;
}
template <class T, int kSize>
__device__ __forceinline__ void store_vec(T* p, const Vec<T, kSize>& vec) {
  using Word = typename WordOf<sizeof(T) * kSize>::Type;
  Word word;
  memcpy(&word, &vec, sizeof word);
  *reinterpret_cast<Word*>(p) = word;
}

// Reductions give every thread the result, in an order fixed by the block's size: equal inputs, equal bits.
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, offset));
  return x;
}

// All threads of the block must call; blockDim.x is a multiple of 32.
__device__ __forceinline__ float block_sum(float x) {
  SIMT_SHARED(float[32], of_warp);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  x = warp_sum(x);
  __syncthreads();  // readers of the last reduction are done
  if (lane == 0) of_warp[warp] = x;
  __syncthreads();
  return warp_sum(lane < static_cast<int>(blockDim.x) / 32 ? of_warp[lane] : 0.0F);
}

// Softmax over parts (Milakov & Gimelshein, arXiv 1805.02867): scores in units of log2, `sum` of
// 2^(score - maximum). Parts merge in any grouping; an empty part has sum 0.
struct SoftmaxState {
  float maximum = -INFINITY;
  float sum = 0.0F;

  // What values weighted by the old maximum must be multiplied with after a merge to `to`.
  __device__ __forceinline__ float scale_to(float to) const {
    return maximum == -INFINITY ? 0.0F : ptx::ex2(maximum - to);
  }
  __device__ __forceinline__ void merge(const SoftmaxState& other) {
    const float larger = fmaxf(maximum, other.maximum);
    sum = sum * scale_to(larger) + other.sum * other.scale_to(larger);
    maximum = larger;
  }
};

}  // namespace caudal::cuda
