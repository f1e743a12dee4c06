// Flash prefill attention over paged KV with mma.sync, for sm_80 and later; on Hopper for head sizes that the
// wgmma kernel does not have.
//
// A tile is 64 pairs (token, head of the group): 4 warps of 16 rows. K of the next step loads while this
// step's weights multiply V, and V while Q K^T runs, so each needs one buffer: three or two blocks fit an SM.
// Blocks walk the plan's pieces, longest first, back and forth (snake), which keeps their sums nearly equal.
//
// FLOPs: 4 * head_dim * (keys seen) per pair. Bytes: 2 * head_dim * 2 per key of a tile and KV head, mostly
// from L2.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/attention_tile.cuh"

namespace caudal::cuda {
namespace {

constexpr int kRows = 64;
constexpr int kThreads = 128;

template <typename T, int kHeadDim>
struct PrefillTraits {
  static constexpr int kKeys = kHeadDim <= 128 ? 64 : 32;
  static_assert(kKeys <= kMaxKeyTile);
  static constexpr int kPitch = kRowPitch<kHeadDim>;
  static constexpr bool kQueryInRegisters = kHeadDim <= 128;
  struct Shared {
    alignas(16) T query[kRows * kPitch];
    alignas(16) T k[kKeys * kPitch];
    alignas(16) T v[kKeys * kPitch];
  };
};

template <typename T, int kHeadDim>
struct Prefill {
  using Traits = PrefillTraits<T, kHeadDim>;
  using Shared = typename Traits::Shared;
  static constexpr int kKeys = Traits::kKeys, kPitch = Traits::kPitch, kChunks = kHeadDim / 8;

  const AttentionArgs& args;
  Shared& shared;
  int warp, lane, kv_head = 0;
  AttentionPiece piece{};

  float sums[kHeadDim / 8][4];
  SoftmaxRow rows[2];
  KeyLimits limits[2];  // of the lane's rows
  TileLimits whole;     // of the warp's
  uint32_t query[Traits::kQueryInRegisters ? kHeadDim / 16 : 1][4];

  __device__ __forceinline__ Prefill(const AttentionArgs& args, Shared& shared)
      : args(args),
        shared(shared),
        warp(static_cast<int>(threadIdx.x) / 32),
        lane(static_cast<int>(threadIdx.x) % 32) {}

  __device__ __forceinline__ void load_query() {
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kChunks; i += kThreads) {
      const int row = i / kChunks, column = i % kChunks * 8;
      const bool valid = row < piece.num_pairs;
      const T* from = static_cast<const T*>(args.q) +
                      row_offset(args, piece, kv_head, valid ? row : 0, args.q_stride, kHeadDim) + column;
      ptx::cp_async16(shared.query + row * kPitch + column, from, valid);
    }
  }

  // Steps begin at multiples of kKeys, wherever the piece does: a row's keys are then added in the same groups,
  // whichever rows it shares a tile with.
  __device__ __forceinline__ int first_key() const { return piece.kv_begin / kKeys * kKeys; }

  // Keys outside the piece are zero: weights of zero must not meet what an unused slot holds.
  __device__ __forceinline__ void load_keys(T* to, const void* cache, int tile) {
    const int key0 = first_key() + tile * kKeys;
    const int* table = args.block_table + static_cast<size_t>(piece.sequence) * args.block_table_stride;
#pragma unroll
    for (int j = 0; j < kKeys * kChunks / kThreads; ++j) {
      const int i = static_cast<int>(threadIdx.x) + j * kThreads, token = i / kChunks, column = i % kChunks * 8;
      const bool valid = key0 + token >= piece.kv_begin && key0 + token < piece.kv_end;
      const int block = valid ? table[(key0 + token) / kPage] : 0;
      const size_t from =
          (static_cast<size_t>(block * kPage + token % kPage) * args.num_kv_heads + kv_head) * kHeadDim + column;
      ptx::cp_async16(to + token * kPitch + column, static_cast<const T*>(cache) + from, valid);
    }
  }

  __device__ __forceinline__ void query_fragment(uint32_t (&a)[4], int step) const {
    ptx::ldmatrix_x4(a, shared.query + (warp * 16 + lane % 16) * kPitch + step * 16 + lane / 16 * 8);
  }

  __device__ __forceinline__ void score(float (&scores)[kKeys / 8][4]) const {
#pragma unroll
    for (int step = 0; step < kHeadDim / 16; ++step) {
      uint32_t own[4];
      if constexpr (!Traits::kQueryInRegisters) query_fragment(own, step);
#pragma unroll
      for (int n = 0; n < kKeys / 16; ++n) {
        uint32_t b[4];
        ptx::ldmatrix_x4(b, shared.k + (n * 16 + lane / 16 * 8 + lane % 8) * kPitch + step * 16 + lane / 8 % 2 * 8);
        if constexpr (Traits::kQueryInRegisters) {
          ptx::mma<T>(scores[2 * n], query[step], b[0], b[1]);
          ptx::mma<T>(scores[2 * n + 1], query[step], b[2], b[3]);
        } else {
          ptx::mma<T>(scores[2 * n], own, b[0], b[1]);
          ptx::mma<T>(scores[2 * n + 1], own, b[2], b[3]);
        }
      }
    }
  }

  __device__ __forceinline__ void accumulate(const uint32_t (&weights)[kKeys / 16][4]) {
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) {
#pragma unroll
      for (int n = 0; n < kHeadDim / 16; ++n) {
        uint32_t b[4];
        ptx::ldmatrix_x4_trans(b, shared.v + (step * 16 + lane % 16) * kPitch + n * 16 + lane / 16 * 8);
        ptx::mma<T>(sums[2 * n], weights[step], b[0], b[1]);
        ptx::mma<T>(sums[2 * n + 1], weights[step], b[2], b[3]);
      }
    }
  }

  // Scores to weights, packed as operands; the sums so far are scaled to the new maximum.
  __device__ __forceinline__ void soften(float (&scores)[kKeys / 8][4], int tile, uint32_t (&weights)[kKeys / 16][4]) {
    const int key0 = first_key() + tile * kKeys;
    float correction[2];
    softmax_tiles<kKeys / 8>(args, scores, key0 + lane % 4 * 2, whole.cut(key0, kKeys), limits, rows, correction);
    rescale(sums, correction);
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step)
      pack_weights<T>(scores[2 * step], scores[2 * step + 1], weights[step]);
  }

  __device__ __forceinline__ void clear() {
    rows[0] = rows[1] = SoftmaxRow{};
    limits[0] = key_limits(args, piece, warp * 16 + lane / 4);
    limits[1] = key_limits(args, piece, warp * 16 + lane / 4 + 8);
    whole = tile_limits(args, piece, warp * 16, warp * 16 + 15);
    for (KeyLimits& row : limits) row.first = max(row.first, piece.kv_begin);
    whole.first = max(whole.first, piece.kv_begin);
#pragma unroll
    for (int n = 0; n < kHeadDim / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) sums[n][e] = 0.0F;
    }
  }

  __device__ __forceinline__ void run() {
    const int tiles = (piece.kv_end - first_key() + kKeys - 1) / kKeys;
    clear();
    load_query();
    load_keys(shared.k, args.k_cache, 0);
    ptx::cp_async_commit();
#pragma unroll 1
    for (int tile = 0; tile < tiles; ++tile) {
      ptx::cp_async_wait<0>();
      __syncthreads();  // K is there; all have read the last V
      load_keys(shared.v, args.v_cache, tile);
      ptx::cp_async_commit();
      if constexpr (Traits::kQueryInRegisters) {
        if (tile == 0) {
#pragma unroll
          for (int step = 0; step < kHeadDim / 16; ++step) query_fragment(query[step], step);
        }
      }
      float scores[kKeys / 8][4] = {};
      score(scores);
      uint32_t weights[kKeys / 16][4];
      soften(scores, tile, weights);
      ptx::cp_async_wait<0>();
      __syncthreads();  // V is there; all have read K
      if (tile + 1 < tiles) load_keys(shared.k, args.k_cache, tile + 1);
      ptx::cp_async_commit();
      accumulate(weights);
    }
    write();
    __syncthreads();  // the next piece overwrites Q and K
  }

  __device__ __forceinline__ void write() {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      rows[half].finish();
      const int row = warp * 16 + lane / 4 + 8 * half;
      if (row >= piece.num_pairs) continue;
      const RowWriter<T, kHeadDim> writer(args, piece, kv_head, row, rows[half].maximum, rows[half].sum, lane % 4 == 0);
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n)
        writer.write(n * 8 + lane % 4 * 2, sums[n][2 * half], sums[n][2 * half + 1]);
    }
  }
};

template <typename T, int kHeadDim>
__global__ void __launch_bounds__(kThreads) attention_prefill_kernel(const __grid_constant__ AttentionArgs args) {
  using Shared = typename PrefillTraits<T, kHeadDim>::Shared;
  SIMT_DYN_SMEM(Shared, shared);
  Prefill<T, kHeadDim> prefill(args, *shared);
  const AttentionPlanHeader header = plan_header(args);
  for (PieceWalk walk(header.num_prefill * args.num_kv_heads); walk.more(); walk.next()) {
    prefill.kv_head = walk.index() % args.num_kv_heads;
    prefill.piece = load_piece(args, header.prefill_offset + walk.index() / args.num_kv_heads);
    prefill.run();
  }
}

template <typename T>
void launch_head_dim(const AttentionArgs& args, int head_dim, int workers, cudaStream_t stream) {
  const auto launch = [&](auto kernel, size_t shared_bytes) {
    simt::launch(kernel, static_cast<unsigned>(workers), kThreads, shared_bytes, stream, args);
  };
  switch (head_dim) {
    case 64:
      return launch(attention_prefill_kernel<T, 64>, sizeof(typename PrefillTraits<T, 64>::Shared));
    case 80:
      return launch(attention_prefill_kernel<T, 80>, sizeof(typename PrefillTraits<T, 80>::Shared));
    case 96:
      return launch(attention_prefill_kernel<T, 96>, sizeof(typename PrefillTraits<T, 96>::Shared));
    case 128:
      return launch(attention_prefill_kernel<T, 128>, sizeof(typename PrefillTraits<T, 128>::Shared));
    default:
      return launch(attention_prefill_kernel<T, 256>, sizeof(typename PrefillTraits<T, 256>::Shared));
  }
}

}  // namespace

void launch_attention_prefill(const AttentionArgs& args, const AttentionShape& shape, int workers,
                              cudaStream_t stream) {
  shape.dtype == DType::kBF16 ? launch_head_dim<__nv_bfloat16>(args, shape.head_dim, workers, stream)
                              : launch_head_dim<__half>(args, shape.head_dim, workers, stream);
}

}  // namespace caudal::cuda
