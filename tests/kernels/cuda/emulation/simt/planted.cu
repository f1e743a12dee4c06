// See planted.h. Kept small: each kernel shows one kind of cooperation between threads.
#include "tests/kernels/cuda/emulation/simt/planted.h"

#include "kernels/cuda/device/primitives.cuh"
#include "kernels/cuda/device/ptx_sm90.cuh"
#include "kernels/cuda/device/tensor_map.h"

namespace caudal::planted {
namespace {

using cuda::kAllLanes;
using cuda::warp_sum;

__device__ float block_sum(float x, Bug bug) {
  SIMT_SHARED(float[32], of_warp);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  x = warp_sum(x);
  if (bug != Bug::kMissingReuseSync) __syncthreads();
  if (lane == 0) of_warp[warp] = x;
  if (bug != Bug::kMissingSync) __syncthreads();
  return warp_sum(lane < blockDim.x / 32 ? of_warp[lane] : 0.0F);
}

__global__ void mean_variance_kernel(float* out, const float* x, int n, Bug bug) {
  float start[2];
  start[bug == Bug::kUninitialised ? 1 : 0] = 0;
  float sum = start[0];
  const int end = bug == Bug::kReadPastEnd ? n + 1 : n;
  for (int i = static_cast<int>(threadIdx.x); i < end; i += static_cast<int>(blockDim.x)) sum += x[i];
  const float mean = block_sum(sum, bug) / static_cast<float>(n);
  if (bug == Bug::kDivergentBarrier) {
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  }
  if (bug == Bug::kMissingArrival && threadIdx.x >= 32) ptx::bar_sync(1, static_cast<int>(blockDim.x));
  float squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) {
    squares += (x[i] - mean) * (x[i] - mean);
  }
  squares = block_sum(squares, bug) / static_cast<float>(n);
  if (threadIdx.x == 0) {
    out[0] = mean;
    out[1] = squares;
  }
}

__global__ void reverse_lanes_kernel(float* out, const float* x, Bug bug) {
  SIMT_DYN_SMEM(float, buffer);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  buffer[threadIdx.x] = x[threadIdx.x];
  if (bug != Bug::kMissingSyncWarp) __syncwarp();
  out[threadIdx.x] = buffer[warp * 32 + 31 - lane];
}

__global__ void sum_by_last_block_kernel(float* out, float* parts, unsigned* counter, const float* x, int n, Bug bug) {
  float sum = 0;
  for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < static_cast<unsigned>(n); i += blockDim.x * gridDim.x) {
    sum += x[i];
  }
  sum = block_sum(sum, bug);
  SIMT_SHARED(bool, last);
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = sum;
    if (bug != Bug::kMissingFence) __threadfence();
    last = atomicAdd(counter, 1U) == gridDim.x - 1;
    if (bug != Bug::kMissingFence) __threadfence();
  }
  __syncthreads();
  if (!last) return;
  const float all = block_sum(threadIdx.x < gridDim.x ? parts[threadIdx.x] : 0.0F, bug);
  if (threadIdx.x == 0) *out = all;
}

__global__ void histogram_kernel(int* bins, const int* x, int n, Bug bug) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  if (bug == Bug::kPlainAdd) {
    bins[x[i]] += 1;
  } else {
    atomicAdd(&bins[x[i]], 1);
  }
}

__global__ void sum_fours_kernel(float* out, const float* x, Bug bug) {
  const float4 v = *reinterpret_cast<const float4*>(x + (bug == Bug::kMisaligned ? 1 : 0) + threadIdx.x * 4);
  out[threadIdx.x] = v.x + v.y + v.z + v.w;
}

__global__ void hand_over_kernel(int* out, Bug bug) {
  SIMT_SHARED(int, value);
  if (threadIdx.x < 32) {
    if (threadIdx.x == 0) value = 42;
    ptx::bar_arrive(1, bug == Bug::kWrongBarrierCount ? 96 : 128);
    out[threadIdx.x] = 42;
  } else {
    ptx::bar_sync(1, 128);
    out[threadIdx.x] = value;
  }
}

__global__ void warp_operations_kernel(unsigned* out, Bug bug) {
  const unsigned lane = threadIdx.x;
  if (bug == Bug::kExitedLane && lane == 7) return;
  const unsigned odd = __ballot_sync(kAllLanes, lane & 1);
  const unsigned most = __reduce_max_sync(kAllLanes, lane * 3 % 32);
  const unsigned same = __match_any_sync(kAllLanes, lane / 8);
  const unsigned from = __shfl_down_sync(kAllLanes, lane, 2U);
  if (lane != 9) return;
  out[0] = odd;
  out[1] = most;
  out[2] = same;
  out[3] = from;
}

// A [16][16] and B [16][8] of one stage, rows of 16-byte chunks, the chunks swizzled over 8 rows.
struct Stage {
  alignas(128) Half a[16][64];
  alignas(128) Half b[64][8];
};

__global__ void matmul_sm80_kernel(float* out, const Half* a, const Half* b, Bug bug) {
  SIMT_DYN_SMEM(Stage, stages);  // [2], each with 16 columns of a in use
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const auto chunk = [&](unsigned row, unsigned c) { return bug == Bug::kUnswizzled ? c : c ^ (row & 7); };
  const auto load = [&](unsigned k, unsigned s) {  // 16 rows of 2 chunks of a, 16 rows of b
    const unsigned row = threadIdx.x / 2, c = threadIdx.x % 2;
    if (threadIdx.x < 32) {
      ptx::cp_async16(&stages[s].a[row][chunk(row, c) * 8], a + row * 64 + k * 16 + c * 8);
    } else if (threadIdx.x < 48) {
      const unsigned r = threadIdx.x - 32;
      ptx::cp_async16(&stages[s].b[r][0], b + (k * 16 + r) * 8);
    }
    ptx::cp_async_commit();
  };
  float d[4] = {};
  load(0, 0);
  for (unsigned k = 0; k < 4; ++k) {
    const unsigned s = k % 2;
    if (k + 1 < 4) load(k + 1, s ^ 1);
    if (bug == Bug::kMissingWait || k + 1 < 4) {
      ptx::cp_async_wait<1>();
    } else {
      ptx::cp_async_wait<0>();
    }
    __syncthreads();
    if (warp == k % 2) {  // the warps take turns, so that one can run ahead of the other
      uint32_t fa[4], fb[2];
      const unsigned row = lane % 16;
      ptx::ldmatrix_x4(fa, &stages[s].a[row][chunk(row, lane / 16) * 8]);
      if (bug == Bug::kWrongTranspose) {
        ptx::ldmatrix_x2(fb, &stages[s].b[lane % 16][0]);
      } else {
        ptx::ldmatrix_x2_trans(fb, &stages[s].b[lane % 16][0]);
      }
      ptx::mma<Half>(d, fa, fb[0], fb[1]);
    }
    if (bug != Bug::kMissingTrailingSync) __syncthreads();
  }
  for (unsigned i = 0; i < 4; ++i) atomicAdd(&out[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2], d[i]);
}

struct WgmmaTiles {
  alignas(1024) Half a[64 * 64], b[64 * 64];
};

#if SIMT_SM90
// D fragment of m64n64: row and column of register j of thread t.
__device__ void store_accumulator(float* out, const float (&d)[32]) {
  const unsigned t = threadIdx.x % 128;
  for (unsigned j = 0; j < 32; ++j) {
    const unsigned row = t / 32 * 16 + t % 32 / 4 + j / 2 % 2 * 8, column = j / 4 * 8 + t % 4 * 2 + j % 2;
    out[row * 64 + column] = d[j];
  }
}
#endif

__global__ void __launch_bounds__(128) matmul_wgmma_kernel(float* out, const Half* a, const Half* b, Bug bug) {
#if SIMT_SM90
  SIMT_DYN_SMEM(WgmmaTiles, tiles);
  for (unsigned i = threadIdx.x; i < 64 * 8; i += 128) {  // rows of 128 bytes, chunks swizzled over 8 rows
    const unsigned row = i / 8, c = i % 8;
    cuda::store_vec(tiles->a + row * 64 + (c ^ (row & 7)) * 8, cuda::load_vec(a + row * 64 + c * 8));
    cuda::store_vec(tiles->b + row * 64 + (c ^ (row & 7)) * 8, cuda::load_vec(b + row * 64 + c * 8));
  }
  if (bug != Bug::kMissingProxyFence) ptx::fence_proxy_async();
  __syncthreads();
  float d[32] = {};
  const unsigned stride = bug == Bug::kWrongStride ? 512 : 1024;
  ptx::wgmma_fence();
  for (int k = 0; k < 4; ++k) {
    ptx::wgmma<Half, false>(d, ptx::smem_desc_128b(tiles->a + k * 16, 16, stride),
                            ptx::smem_desc_128b(tiles->b + k * 16, 16, 1024), true);
  }
  ptx::wgmma_commit();
  if (bug == Bug::kMissingMatrixWait) {
    store_accumulator(out, d);
    ptx::wgmma_wait<0>();
  } else {
    ptx::wgmma_wait<0>();
    store_accumulator(out, d);
  }
#endif
}

constexpr int kStages = 2;
struct Ring {
  alignas(1024) Half a[kStages][64 * 64];
  alignas(1024) Half b[kStages][64 * 64];
  alignas(8) uint64_t full[kStages], empty[kStages];
};

#if SIMT_SM90
__device__ void produce(Ring& ring, const CUtensorMap* a, const CUtensorMap* b, int steps, Bug bug) {
  for (int i = 0; i < steps; ++i) {
    const int s = i % kStages;
    const unsigned parity = static_cast<unsigned>(i / kStages & 1);
    ptx::mbar_wait(&ring.empty[s], bug == Bug::kWrongParity ? parity : parity ^ 1);
    ptx::mbar_arrive_expect_tx(&ring.full[s], sizeof ring.a[0] + (bug == Bug::kWrongBytes ? 0 : sizeof ring.b[0]));
    ptx::tma_load_2d(ring.a[s], a, &ring.full[s], i * 64, 0);
    ptx::tma_load_2d(ring.b[s], b, &ring.full[s], i * 64, 0);
  }
}
#endif

// Warps 0 to 3 consume, thread 128 produces.
__global__ void __launch_bounds__(160)
    matmul_tma_kernel(const __grid_constant__ CUtensorMap a, const __grid_constant__ CUtensorMap b, float* out,
                      int steps, Bug bug) {
#if SIMT_SM90
  SIMT_DYN_SMEM(Ring, ring);
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; ++s) {
      ptx::mbar_init(&ring->full[s], 1);
      ptx::mbar_init(&ring->empty[s], 1);
    }
    ptx::fence_mbar_init();
  }
  if (bug != Bug::kMissingSync) __syncthreads();
  if (threadIdx.x >= 128) {
    if (threadIdx.x == 128) produce(*ring, &a, &b, steps, bug);
    return;
  }
  float d[32];
  for (int i = 0; i < steps; ++i) {
    const int s = i % kStages;
    if (bug != Bug::kMissingWait) ptx::mbar_wait(&ring->full[s], static_cast<unsigned>(i / kStages & 1));
    ptx::wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      ptx::wgmma<Half, false>(d, ptx::smem_desc_128b(ring->a[s] + k * 16, 16, 1024),
                              ptx::smem_desc_128b(ring->b[s] + k * 16, 16, 1024), i + k > 0);
    }
    ptx::wgmma_commit();
    if (bug == Bug::kEarlyRelease && threadIdx.x == 0) ptx::mbar_arrive(&ring->empty[s]);
    ptx::wgmma_wait<0>();
    if (bug != Bug::kEarlyRelease && threadIdx.x == 0) ptx::mbar_arrive(&ring->empty[s]);
  }
  store_accumulator(out, d);
#endif
}

}  // namespace

void mean_variance(float* out, const float* x, int n, Bug bug, cudaStream_t stream) {
  simt::launch(mean_variance_kernel, 1, 256, 0, stream, out, x, n, bug);
}
void reverse_lanes(float* out, const float* x, Bug bug, cudaStream_t stream) {
  const std::size_t bytes = (bug == Bug::kSharedPastEnd ? 120 : 128) * sizeof(float);
  simt::launch(reverse_lanes_kernel, 1, 128, bytes, stream, out, x, bug);
}
void sum_by_last_block(float* out, float* parts, unsigned* counter, const float* x, int n, int num_blocks, Bug bug,
                       cudaStream_t stream) {
  simt::launch(sum_by_last_block_kernel, dim3(static_cast<unsigned>(num_blocks)), 128, 0, stream, out, parts, counter,
               x, n, bug);
}
void histogram(int* bins, const int* x, int n, Bug bug, cudaStream_t stream) {
  simt::launch(histogram_kernel, dim3(static_cast<unsigned>((n + 127) / 128)), 128, 0, stream, bins, x, n, bug);
}
void sum_fours(float* out, const float* x, Bug bug, cudaStream_t stream) {
  simt::launch(sum_fours_kernel, 1, 32, 0, stream, out, x, bug);
}
void hand_over(int* out, Bug bug, cudaStream_t stream) { simt::launch(hand_over_kernel, 1, 128, 0, stream, out, bug); }
void warp_operations(unsigned* out, Bug bug, cudaStream_t stream) {
  simt::launch(warp_operations_kernel, 1, 32, 0, stream, out, bug);
}
void matmul_sm80(float* out, const Half* a, const Half* b, Bug bug, cudaStream_t stream) {
  simt::launch(matmul_sm80_kernel, 1, 64, 2 * sizeof(Stage), stream, out, a, b, bug);
}
void matmul_wgmma(float* out, const Half* a, const Half* b, Bug bug, cudaStream_t stream) {
  simt::launch(matmul_wgmma_kernel, 1, 128, sizeof(WgmmaTiles), stream, out, a, b, bug);
}
void matmul_tma(float* out, const Half* a, const Half* b, int k, Bug bug, cudaStream_t stream) {
  const auto map = [&](const Half* matrix) {
    return cuda::make_tensor_map<2>(matrix, DType::kBF16, {k, 64}, {2 * k}, {64, 64}, CU_TENSOR_MAP_SWIZZLE_128B);
  };
  simt::launch(matmul_tma_kernel, 1, 160, sizeof(Ring), stream, map(a), map(b), out, k / 64, bug);
}

bool has_sm90() {
#if SIMT_CPU
  return true;
#else
  cudaDeviceProp properties;
  return cudaGetDeviceProperties(&properties, 0) == cudaSuccess && properties.major == 9;
#endif
}

}  // namespace caudal::planted
