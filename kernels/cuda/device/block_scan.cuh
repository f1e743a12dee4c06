// Scans and maxima of 64-bit integers over a block. Integers, because their sums do not depend on the order: what
// is sampled then depends on the row alone.
#pragma once

#include "kernels/cuda/device/primitives.cuh"

namespace caudal::cuda {

using Mass = unsigned long long;

__device__ __forceinline__ Mass warp_sum_mass(Mass x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}

// The sum of `own` over the threads before this one; *total is that of all. All threads must call.
__device__ __forceinline__ Mass exclusive_scan(Mass own, Mass* total) {
  SIMT_SHARED(Mass[32], of_warp);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  Mass inclusive = own;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const Mass below = __shfl_up_sync(kAllLanes, inclusive, static_cast<unsigned>(offset));
    if (lane >= offset) inclusive += below;
  }
  __syncthreads();
  if (lane == 31) of_warp[warp] = inclusive;
  __syncthreads();
  Mass before = 0, all = 0;
  for (int w = 0; w < static_cast<int>(blockDim.x) / 32; ++w) {
    if (w < warp) before += of_warp[w];
    all += of_warp[w];
  }
  *total = all;
  return before + inclusive - own;
}

__device__ __forceinline__ Mass block_max(Mass x) {
  SIMT_SHARED(Mass[32], of_warp);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x = max(x, __shfl_xor_sync(kAllLanes, x, offset));
  __syncthreads();
  if (lane == 0) of_warp[warp] = x;
  __syncthreads();
  for (int w = 0; w < static_cast<int>(blockDim.x) / 32; ++w) x = max(x, of_warp[w]);
  return x;
}

}  // namespace caudal::cuda
