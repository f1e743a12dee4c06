// What producer and consumers of the Hopper prefill kernel share: shared memory, its layout and barriers.
#pragma once

#include "kernels/cuda/attention/attention_tile.cuh"
#include "kernels/cuda/device/ptx_sm90.cuh"

namespace caudal::cuda {

namespace sm90 {

static_assert(kPage == 16, "a step of wgmma takes 16 keys, and a TMA box is a page");
constexpr int kGroupRows = 64;
constexpr int kGroupThreads = 128;
constexpr int kThreads = 3 * kGroupThreads;
constexpr int kStages = 2;
constexpr int kConsumerWarps = 8;
constexpr int kQueryBarrier = 1;  // and 2: a warpgroup's own
constexpr int kTurnBarrier = 3;   // and 4: a warpgroup's turn to issue

template <int kHeadDim>
struct Traits {
  static constexpr int kKeys = kHeadDim <= 128 ? 128 : 64;
  static_assert(kKeys <= kMaxKeyTile);
  static constexpr int kPages = kKeys / kPage;
  static constexpr int kColumns = kHeadDim / 64;  // groups of 64 columns: [kColumns][rows][64]
  static constexpr int kStage = kKeys * kHeadDim;
};

template <typename T, int kHeadDim>
struct Shared {
  alignas(1024) T query[2][kGroupRows * kHeadDim];
  alignas(1024) T k[kStages][Traits<kHeadDim>::kStage];
  alignas(1024) T v[kStages][Traits<kHeadDim>::kStage];
  alignas(8) uint64_t k_full[kStages], v_full[kStages], k_empty[kStages], v_empty[kStages];
};

// Where 8 columns of a row lie in [kHeadDim / 64][rows][64] with the 128-byte swizzle, in elements.
__device__ __forceinline__ int swizzled(int rows, int row, int column) {
  return (column / 64 * rows + row) * 64 + ((column % 64 / 8) ^ (row % 8)) * 8;
}

#if SIMT_SM90

// Position in the rings: step n of all pieces of the block.
struct Ring {
  int n = 0;
  __device__ __forceinline__ int stage() const { return n % kStages; }
  __device__ __forceinline__ unsigned parity() const { return static_cast<unsigned>(n / kStages) & 1U; }
};

template <typename T, int kHeadDim>
__device__ __forceinline__ void init_barriers(Shared<T, kHeadDim>& shared) {
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      ptx::mbar_init(&shared.k_full[i], 1), ptx::mbar_init(&shared.v_full[i], 1);
      ptx::mbar_init(&shared.k_empty[i], kConsumerWarps), ptx::mbar_init(&shared.v_empty[i], kConsumerWarps);
    }
    ptx::fence_mbar_init();
  }
  __syncthreads();
}

#endif  // SIMT_SM90

}  // namespace sm90
}  // namespace caudal::cuda
