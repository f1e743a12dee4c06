// Small kernels that use every part of the emulation and every wrapper of ptx*.cuh, each with bugs that can be
// planted in it. Without a bug they are the tests of the wrappers, on a GPU too.
#pragma once

#include <cuda_bf16.h>
#include <driver_types.h>

#include <cstdint>

namespace caudal::planted {

enum class Bug : int {
  kNone,
  kMissingSync,       // of a reduction through shared memory
  kMissingReuseSync,  // between two reductions that share a buffer
  kMissingSyncWarp,
  kMissingFence,  // before the counter that says "my part is written"
  kPlainAdd,      // += where blocks meet
  kUninitialised,
  kReadPastEnd,    // of a global array
  kSharedPastEnd,  // of dynamic shared memory
  kMisaligned,     // 16-byte load
  kDivergentBarrier,
  kMissingArrival,  // a thread never comes to the barrier
  kWrongBarrierCount,
  kExitedLane,           // a shuffle that lanes have left
  kMissingWait,          // for an asynchronous copy
  kMissingTrailingSync,  // a stage is refilled while others read it
  kWrongTranspose,
  kUnswizzled,  // right, but with bank conflicts
  kMissingProxyFence,
  kMissingMatrixWait,
  kWrongStride,  // in a matrix descriptor
  kWrongBytes,   // expected of a bulk copy
  kWrongParity,
  kEarlyRelease,  // of a stage that wgmma still reads
};

using Half = __nv_bfloat16;

// out [2]: mean and variance of x [n].
void mean_variance(float* out, const float* x, int n, Bug bug, cudaStream_t stream = nullptr);
// out [128]: each warp's 32 values reversed.
void reverse_lanes(float* out, const float* x, Bug bug, cudaStream_t stream = nullptr);
// out [1]: the sum of x [n]; the last block adds the parts [num_blocks]. counter [1] starts at 0.
void sum_by_last_block(float* out, float* parts, unsigned* counter, const float* x, int n, int num_blocks, Bug bug,
                       cudaStream_t stream = nullptr);
// bins [8] += how often each value of x [n] occurs.
void histogram(int* bins, const int* x, int n, Bug bug, cudaStream_t stream = nullptr);
// out [32]: sums of 4 neighbours of x [128].
void sum_fours(float* out, const float* x, Bug bug, cudaStream_t stream = nullptr);
// out [128] = 42, made by warp 0 and handed over by a named barrier.
void hand_over(int* out, Bug bug, cudaStream_t stream = nullptr);
// out [4]: votes, reduce, match and a shuffle of the lane numbers, by one warp.
void warp_operations(unsigned* out, Bug bug, cudaStream_t stream = nullptr);
// out [16, 8] = a [16, 64] b [64, 8] over stages of cp.async, ldmatrix and mma.
void matmul_sm80(float* out, const Half* a, const Half* b, Bug bug, cudaStream_t stream = nullptr);
// out [64, 64] = a [64, 64] b[64, 64]^T: ordinary stores, then wgmma.
void matmul_wgmma(float* out, const Half* a, const Half* b, Bug bug, cudaStream_t stream = nullptr);
// out [64, 64] = a [64, k] b [64, k]^T: a producer warp with TMA, a consumer warpgroup with wgmma.
void matmul_tma(float* out, const Half* a, const Half* b, int k, Bug bug, cudaStream_t stream = nullptr);
// Whether this device has sm_90a; the last two need it.
bool has_sm90();

}  // namespace caudal::planted
