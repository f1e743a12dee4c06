// The producer warp of the Hopper prefill kernel: pages of K and V into the rings, by TMA.
//
// TMA reads whole pages. Slots past a piece's end are masked in K; in V they are stored as zeros, because a
// weight of zero must not meet what an unused slot holds.
#pragma once

#include "kernels/cuda/attention/attention_sm90.cuh"

namespace caudal::cuda::sm90 {
#if SIMT_SM90

template <typename T, int kHeadDim>
struct Producer {
  using Traits = sm90::Traits<kHeadDim>;
  const AttentionArgs& args;
  const CUtensorMap& k_map;
  const CUtensorMap& v_map;
  Shared<T, kHeadDim>& shared;
  int lane;
  Ring ring{};

  __device__ __forceinline__ void load(T* stage, const CUtensorMap& map, uint64_t* full, int block, int pages,
                                       int kv_head) {
    if (lane == 0) ptx::mbar_arrive_expect_tx(full, static_cast<unsigned>(pages * kPage * kHeadDim * 2));
    __syncwarp();
    if (lane < pages) {
#pragma unroll
      for (int c = 0; c < Traits::kColumns; ++c) {
        ptx::tma_load_2d(stage + (c * Traits::kKeys + lane * kPage) * 64, &map, full, kv_head * kHeadDim + c * 64,
                         block * kPage);
      }
    }
  }

  // Stores rows [full_pages * 16, kKeys) of V: the tokens below `valid`, then zeros.
  __device__ __forceinline__ void store_tail(T* stage, int block, int full_pages, int valid, int kv_head) {
    constexpr int kChunks = kHeadDim / 8;
    block = __shfl_sync(~0U, block, full_pages);
    const T* cache = static_cast<const T*>(args.v_cache);
    for (int i = lane; i < (Traits::kKeys - full_pages * kPage) * kChunks; i += 32) {
      const int row = full_pages * kPage + i / kChunks, column = i % kChunks * 8;
      uint4 value = make_uint4(0, 0, 0, 0);
      if (row < valid) {
        value = *reinterpret_cast<const uint4*>(
            cache + (static_cast<size_t>(block * kPage + row % kPage) * args.num_kv_heads + kv_head) * kHeadDim +
            column);
      }
      *reinterpret_cast<uint4*>(stage + swizzled(Traits::kKeys, row, column)) = value;
    }
    ptx::fence_proxy_async();
    __syncwarp();
  }

  __device__ __forceinline__ void run(const AttentionPiece& piece, int kv_head) {
    const int* table = args.block_table + static_cast<size_t>(piece.sequence) * args.block_table_stride;
    for (int key0 = piece.kv_begin; key0 < piece.kv_end; key0 += Traits::kKeys, ++ring.n) {
      const int valid = min(Traits::kKeys, piece.kv_end - key0), full_pages = valid / kPage,
                pages = (valid + kPage - 1) / kPage;
      const int block = lane < pages ? table[key0 / kPage + lane] : 0, stage = ring.stage();
      ptx::mbar_wait(&shared.k_empty[stage], ring.parity() ^ 1U);
      load(shared.k[stage], k_map, &shared.k_full[stage], block, pages, kv_head);
      ptx::mbar_wait(&shared.v_empty[stage], ring.parity() ^ 1U);
      if (full_pages < Traits::kPages) store_tail(shared.v[stage], block, full_pages, valid, kv_head);
      load(shared.v[stage], v_map, &shared.v_full[stage], block, full_pages, kv_head);
    }
  }
};

#endif  // SIMT_SM90
}  // namespace caudal::cuda::sm90
