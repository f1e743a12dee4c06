// A consumer warpgroup of the Hopper prefill kernel: 64 rows against the keys of the ring.
#pragma once

#include "kernels/cuda/attention/attention_sm90.cuh"

namespace caudal::cuda::sm90 {
#if SIMT_SM90

template <typename T, int kHeadDim>
struct Consumer {
  using Traits = sm90::Traits<kHeadDim>;
  static constexpr int kKeys = Traits::kKeys;

  const AttentionArgs& args;
  Shared<T, kHeadDim>& shared;
  int group, thread;
  Ring ring{};
  AttentionPiece piece{};
  int kv_head = 0;
  SoftmaxRow rows[2];
  KeyLimits limits[2];
  TileLimits whole;

  __device__ __forceinline__ Consumer(const AttentionArgs& args, Shared<T, kHeadDim>& shared, int group)
      : args(args), shared(shared), group(group), thread(static_cast<int>(threadIdx.x) % kGroupThreads) {}

  __device__ __forceinline__ int row() const { return group * kGroupRows + thread / 32 * 16 + thread % 32 / 4; }

  __device__ __forceinline__ void begin() {
    constexpr int kChunks = kHeadDim / 8;
    ptx::bar_sync(kQueryBarrier + group,
                  kGroupThreads);  // the last piece's products have been computed by all warps
    for (int i = thread; i < kGroupRows * kChunks; i += kGroupThreads) {
      const int row = i / kChunks, column = i % kChunks * 8;
      uint4 value = make_uint4(0, 0, 0, 0);
      if (group * kGroupRows + row < piece.num_pairs) {
        value = *reinterpret_cast<const uint4*>(
            static_cast<const T*>(args.q) +
            row_offset(args, piece, kv_head, group * kGroupRows + row, args.q_stride, kHeadDim) + column);
      }
      *reinterpret_cast<uint4*>(shared.query[group] + swizzled(kGroupRows, row, column)) = value;
    }
    ptx::fence_proxy_async();
    ptx::bar_sync(kQueryBarrier + group, kGroupThreads);
    rows[0] = rows[1] = SoftmaxRow{};
    limits[0] = key_limits(args, piece, row());
    limits[1] = key_limits(args, piece, row() + 8);
    whole = tile_limits(args, piece, group * kGroupRows, group * kGroupRows + kGroupRows - 1);
  }

  // Issues S = Q K^T.
  __device__ __forceinline__ void score(float (&scores)[kKeys / 2]) const {
    const T* k = shared.k[ring.stage()];
    ptx::wgmma_fence();
#pragma unroll
    for (int step = 0; step < kHeadDim / 16; ++step) {
      const int c = step / 4, column = step % 4 * 16;
      ptx::wgmma<T, false>(scores, ptx::smem_desc_128b(shared.query[group] + c * kGroupRows * 64 + column, 16, 1024),
                           ptx::smem_desc_128b(k + c * kKeys * 64 + column, 16, 1024), step > 0);
    }
    ptx::wgmma_commit();
  }

  // Issues O += P V.
  __device__ __forceinline__ void accumulate(float (&sums)[kHeadDim / 2], const uint32_t (&weights)[kKeys / 16][4],
                                             const Ring& at) const {
    const T* v = shared.v[at.stage()];
    ptx::wgmma_fence();
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) {
      ptx::wgmma_rs<T, true>(sums, weights[step], ptx::smem_desc_128b(v + step * kPage * 64, kKeys * 128, 1024), true);
    }
    ptx::wgmma_commit();
  }

  __device__ __forceinline__ void release(uint64_t* empty) const {
    if (thread % 32 == 0) ptx::mbar_arrive(empty);
  }

  __device__ __forceinline__ void soften(float (&scores)[kKeys / 2], int key0, float (&correction)[2]) {
    auto& tiles = reinterpret_cast<float(&)[kKeys / 8][4]>(scores);
    softmax_tiles<kKeys / 8>(args, tiles, key0 + thread % 4 * 2, whole.cut(key0, kKeys), limits, rows, correction);
  }

  __device__ __forceinline__ static void pack(const float (&scores)[kKeys / 2], uint32_t (&weights)[kKeys / 16][4]) {
    const auto& tiles = reinterpret_cast<const float(&)[kKeys / 8][4]>(scores);
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) pack_weights<T>(tiles[2 * step], tiles[2 * step + 1], weights[step]);
  }

  __device__ __forceinline__ void run() {
    float sums[kHeadDim / 2], scores[kKeys / 2], correction[2];
    uint32_t weights[kKeys / 16][4];
#pragma unroll
    for (int i = 0; i < kHeadDim / 2; ++i) sums[i] = 0.0F;
    begin();

    ptx::mbar_wait(&shared.k_full[ring.stage()], ring.parity());
    score(scores);
    ptx::wgmma_wait<0>();
    release(&shared.k_empty[ring.stage()]);
    soften(scores, piece.kv_begin, correction);
    pack(scores, weights);

    Ring before = ring;
    ++ring.n;
#pragma unroll 1
    for (int key0 = piece.kv_begin + kKeys; key0 < piece.kv_end; key0 += kKeys, ++ring.n) {
      ptx::mbar_wait(&shared.k_full[ring.stage()], ring.parity());
      ptx::bar_sync(kTurnBarrier + group, 2 * kGroupThreads);
      score(scores);
      ptx::mbar_wait(&shared.v_full[before.stage()], before.parity());
      accumulate(sums, weights, before);
      ptx::bar_arrive(kTurnBarrier + 1 - group, 2 * kGroupThreads);
      ptx::wgmma_wait<1>();
      release(&shared.k_empty[ring.stage()]);
      soften(scores, key0, correction);
      ptx::wgmma_wait<0>();
      release(&shared.v_empty[before.stage()]);
      rescale(reinterpret_cast<float(&)[kHeadDim / 8][4]>(sums), correction);
      pack(scores, weights);
      before = ring;
    }

    ptx::mbar_wait(&shared.v_full[before.stage()], before.parity());
    accumulate(sums, weights, before);
    ptx::wgmma_wait<0>();
    release(&shared.v_empty[before.stage()]);
    write(sums);
  }

  __device__ __forceinline__ void write(const float (&sums)[kHeadDim / 2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      rows[half].finish();
      if (row() + 8 * half >= piece.num_pairs) continue;
      const RowWriter<T, kHeadDim> writer(args, piece, kv_head, row() + 8 * half, rows[half].maximum, rows[half].sum,
                                          thread % 4 == 0);
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n)
        writer.write(n * 8 + thread % 4 * 2, sums[n * 4 + 2 * half], sums[n * 4 + 2 * half + 1]);
    }
  }
};

#endif  // SIMT_SM90
}  // namespace caudal::cuda::sm90
