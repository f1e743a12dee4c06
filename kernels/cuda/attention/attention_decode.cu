// Paged decode attention: few query rows per sequence against long contexts, bound by memory bandwidth.
//
// A block is one worker of the plan for one KV head; neighbours in x read the same pages for the other heads.
// Its warps do not wait for each other: each takes every kWarps-th page of a piece through its own ring of
// cp.async stages, with its own softmax state; they meet at the end of the piece. The rows of all query heads
// of the KV head form the 16 rows of mma.m16n8k16, so K and V pass shared memory once for the group.
//
// Bytes: 2 * 16 * head_dim * 2 per page and KV head, once. In flight per SM, head_dim 128, 3 blocks of 4
// warps: 12 to 24 stages of 8 KiB; 4.8 TB/s * 1 us / 132 SMs needs 36 KiB. Per page about 32 mma and 250
// other instructions on a warp, against 1,600 issue slots that an H200 SM has in the time of 8 KiB.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/attention_tile.cuh"

namespace caudal::cuda {
namespace {

static_assert(kPage == 16, "a step of mma takes 16 keys");

template <typename T, int kHeadDim, int kRowTiles>
struct DecodeTraits {
  static constexpr int kWarps = kHeadDim <= 128 ? 4 : 2;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kStages = kHeadDim <= 80 ? 3 : 2;
  static constexpr int kBlocksPerSm = kRowTiles == 1 ? 3 : 2;  // attention_geometry counts on it
  static constexpr int kRows = 16 * kRowTiles;
  static constexpr int kPitch = kRowPitch<kHeadDim>;
  static constexpr bool kQueryInRegisters = kHeadDim * kRowTiles < 128;

  struct Stage {
    T k[kPage * kPitch];
    T v[kPage * kPitch];
  };
  struct Shared {
    alignas(16) T query[kRows * kPitch];
    alignas(16) Stage stages[kWarps][kStages];  // at the end of a piece: float [kRows][kHeadDim] of each warp
    float2 state[kWarps][kRows];
  };
  static_assert(sizeof(Stage) * kStages >= sizeof(float) * kRows * kHeadDim);
  static_assert((sizeof(Shared) + 1024) * kBlocksPerSm <= 228 << 10);
};

template <typename T, int kHeadDim, int kRowTiles>
struct Decoder {
  using Traits = DecodeTraits<T, kHeadDim, kRowTiles>;
  using Shared = typename Traits::Shared;
  static constexpr int kWarps = Traits::kWarps, kThreads = Traits::kThreads, kStages = Traits::kStages;
  static constexpr int kRows = Traits::kRows, kPitch = Traits::kPitch;

  const AttentionArgs& args;
  Shared& shared;
  int kv_head, warp, lane;
  AttentionPiece piece{};
  const int* table = nullptr;  // of the piece's first page
  int count = 0;               // pages of the warp
  int ids = 0;                 // of the lane

  float sums[kRowTiles][kHeadDim / 8][4];
  SoftmaxRow rows[kRowTiles][2];
  KeyLimits limits[kRowTiles][2];  // of the lane's rows
  TileLimits whole;                // of all
  uint32_t query[Traits::kQueryInRegisters ? kRowTiles : 1][Traits::kQueryInRegisters ? kHeadDim / 16 : 1][4];

  __device__ __forceinline__ Decoder(const AttentionArgs& args, Shared& shared)
      : args(args),
        shared(shared),
        kv_head(static_cast<int>(blockIdx.x)),
        warp(static_cast<int>(threadIdx.x) / 32),
        lane(static_cast<int>(threadIdx.x) % 32) {}

  // Rows past num_pairs are zero.
  __device__ __forceinline__ void load_query() {
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kHeadDim / 8; i += kThreads) {
      const int row = i / (kHeadDim / 8), column = i % (kHeadDim / 8) * 8;
      uint4 value = make_uint4(0, 0, 0, 0);
      if (row < piece.num_pairs) {
        value = *reinterpret_cast<const uint4*>(
            static_cast<const T*>(args.q) + row_offset(args, piece, kv_head, row, args.q_stride, kHeadDim) + column);
      }
      *reinterpret_cast<uint4*>(shared.query + row * kPitch + column) = value;
    }
    __syncthreads();
  }

  __device__ __forceinline__ void load_page(int stage, int block, int key) {
    const T* k = static_cast<const T*>(args.k_cache);
    const T* v = static_cast<const T*>(args.v_cache);
    typename Traits::Stage& to = shared.stages[warp][stage];
#pragma unroll
    for (int j = 0; j < kHeadDim / 16; ++j) {
      const int i = lane + 32 * j, token = i / (kHeadDim / 8), column = i % (kHeadDim / 8) * 8;
      const size_t from =
          (static_cast<size_t>(block * kPage + token) * args.num_kv_heads + kv_head) * kHeadDim + column;
      const bool valid = key + token < piece.kv_end;
      ptx::cp_async16(to.k + token * kPitch + column, k + from, valid);
      ptx::cp_async16(to.v + token * kPitch + column, v + from, valid);
    }
  }

  __device__ __forceinline__ void query_fragment(uint32_t (&a)[4], int row_tile, int step) const {
    ptx::ldmatrix_x4(a, shared.query + (row_tile * 16 + lane % 16) * kPitch + step * 16 + lane / 16 * 8);
  }

  __device__ __forceinline__ void attend_page(int stage, int key) {
    const typename Traits::Stage& page = shared.stages[warp][stage];
    float scores[kRowTiles][2][4] = {};
#pragma unroll
    for (int step = 0; step < kHeadDim / 16; ++step) {
      uint32_t b[4];
      ptx::ldmatrix_x4(b, page.k + (lane / 16 * 8 + lane % 8) * kPitch + step * 16 + lane / 8 % 2 * 8);
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        if constexpr (Traits::kQueryInRegisters) {
          ptx::mma<T>(scores[r][0], query[r][step], b[0], b[1]);
          ptx::mma<T>(scores[r][1], query[r][step], b[2], b[3]);
        } else {
          uint32_t a[4];
          query_fragment(a, r, step);
          ptx::mma<T>(scores[r][0], a, b[0], b[1]);
          ptx::mma<T>(scores[r][1], a, b[2], b[3]);
        }
      }
    }
    uint32_t weights[kRowTiles][4];
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      float correction[2];
      softmax_tiles<2>(args, scores[r], key + lane % 4 * 2, whole.cut(key, kPage), limits[r], rows[r], correction);
      rescale(sums[r], correction);
      pack_weights<T>(scores[r][0], scores[r][1], weights[r]);
    }
#pragma unroll
    for (int n = 0; n < kHeadDim / 16; ++n) {
      uint32_t b[4];
      ptx::ldmatrix_x4_trans(b, page.v + lane % 16 * kPitch + n * 16 + lane / 16 * 8);
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
        ptx::mma<T>(sums[r][2 * n], weights[r], b[0], b[1]);
        ptx::mma<T>(sums[r][2 * n + 1], weights[r], b[2], b[3]);
      }
    }
  }

  // Page i of the warp is page warp + i * kWarps of the piece. Block ids come 32 at a time, one per lane.
  __device__ __forceinline__ int key_of(int i) const { return piece.kv_begin + (warp + i * kWarps) * kPage; }
  __device__ __forceinline__ void issue(int i) {
    if (i < count) {
      if (i % 32 == 0) ids = i + lane < count ? table[warp + (i + lane) * kWarps] : 0;
      load_page(i % kStages, __shfl_sync(~0U, ids, i % 32), key_of(i));
    }
    ptx::cp_async_commit();
  }

  __device__ __forceinline__ void start(const AttentionPiece& next) {
    piece = next;
    count = ((piece.kv_end - piece.kv_begin + kPage - 1) / kPage - warp + kWarps - 1) / kWarps;
    table = args.block_table + static_cast<size_t>(piece.sequence) * args.block_table_stride + piece.kv_begin / kPage;
#pragma unroll 1
    for (int i = 0; i < kStages - 1; ++i) issue(i);
  }

  __device__ __forceinline__ void attend() {
#pragma unroll 1
    for (int i = 0; i < count; ++i) {
      issue(i + kStages - 1);
      ptx::cp_async_wait<kStages - 1>();
      __syncwarp();
      attend_page(i % kStages, key_of(i));
      __syncwarp();  // all lanes have read the stage that the next issue fills
    }
    ptx::cp_async_wait<0>();
  }

  __device__ __forceinline__ void clear() {
    whole = tile_limits(args, piece, 0, kRows - 1);
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      rows[r][0] = rows[r][1] = SoftmaxRow{};
      limits[r][0] = key_limits(args, piece, r * 16 + lane / 4);
      limits[r][1] = key_limits(args, piece, r * 16 + lane / 4 + 8);
#pragma unroll
      for (int n = 0; n < kHeadDim / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[r][n][e] = 0.0F;
      }
      if constexpr (Traits::kQueryInRegisters) {
#pragma unroll
        for (int step = 0; step < kHeadDim / 16; ++step) query_fragment(query[r][step], r, step);
      }
    }
  }

  // The warps' states meet in shared memory, in the place of their stages.
  __device__ __forceinline__ void publish() {
    float* own = reinterpret_cast<float*>(shared.stages[warp]);
    __syncwarp();
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = r * 16 + lane / 4 + 8 * half;
        rows[r][half].finish();
        if (lane % 4 == 0) shared.state[warp][row] = make_float2(rows[r][half].maximum, rows[r][half].sum);
#pragma unroll
        for (int n = 0; n < kHeadDim / 8; ++n) {
          *reinterpret_cast<float2*>(own + row * kHeadDim + n * 8 + lane % 4 * 2) =
              make_float2(sums[r][n][2 * half], sums[r][n][2 * half + 1]);
        }
      }
    }
    __syncthreads();
  }

  __device__ __forceinline__ void write() {
    for (int i = static_cast<int>(threadIdx.x); i < piece.num_pairs * kHeadDim / 2; i += kThreads) {
      const int row = i / (kHeadDim / 2), column = i % (kHeadDim / 2) * 2;
      float maximum = -INFINITY, sum = 0.0F, low = 0.0F, high = 0.0F;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) maximum = fmaxf(maximum, shared.state[w][row].x);
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        const float2 state = shared.state[w][row];
        const float weight = state.x == -INFINITY ? 0.0F : ptx::ex2(state.x - maximum);
        const float2 part = *reinterpret_cast<const float2*>(reinterpret_cast<const float*>(shared.stages[w]) +
                                                             row * kHeadDim + column);
        sum += weight * state.y, low += weight * part.x, high += weight * part.y;
      }
      RowWriter<T, kHeadDim>(args, piece, kv_head, row, maximum, sum, column == 0).write(column, low, high);
    }
    __syncthreads();  // the next piece overwrites queries and stages
  }
};

template <typename T, int kHeadDim, int kRowTiles>
__global__ void __launch_bounds__(DecodeTraits<T, kHeadDim, kRowTiles>::kThreads,
                                  DecodeTraits<T, kHeadDim, kRowTiles>::kBlocksPerSm)
    attention_decode_kernel(const __grid_constant__ AttentionArgs args) {
  using Traits = DecodeTraits<T, kHeadDim, kRowTiles>;
  SIMT_DYN_SMEM(typename Traits::Shared, shared);
  Decoder<T, kHeadDim, kRowTiles> decoder(args, *shared);
  const int* start = args.plan + 4 + blockIdx.y;
  const int first = start[0], last = start[1];
  for (int i = first; i < last; ++i) {
    decoder.start(load_piece(args, decode_piece_offset(args.decode_workers) + i));
    decoder.load_query();
    decoder.clear();
    decoder.attend();
    decoder.publish();
    decoder.write();
  }
}

template <typename T, int kHeadDim, int kRowTiles>
void launch_decode(const AttentionArgs& args, cudaStream_t stream) {
  using Traits = DecodeTraits<T, kHeadDim, kRowTiles>;
  const dim3 grid(static_cast<unsigned>(args.num_kv_heads), static_cast<unsigned>(args.decode_workers));
  simt::launch(attention_decode_kernel<T, kHeadDim, kRowTiles>, grid, Traits::kThreads, sizeof(typename Traits::Shared),
               stream, args);
}

template <typename T>
void launch_head_dim(const AttentionArgs& args, int head_dim, int row_tiles, cudaStream_t stream) {
  switch (head_dim) {
    case 64:
      return row_tiles == 1 ? launch_decode<T, 64, 1>(args, stream) : launch_decode<T, 64, 2>(args, stream);
    case 80:
      return row_tiles == 1 ? launch_decode<T, 80, 1>(args, stream) : launch_decode<T, 80, 2>(args, stream);
    case 96:
      return row_tiles == 1 ? launch_decode<T, 96, 1>(args, stream) : launch_decode<T, 96, 2>(args, stream);
    case 128:
      return row_tiles == 1 ? launch_decode<T, 128, 1>(args, stream) : launch_decode<T, 128, 2>(args, stream);
    default:
      return launch_decode<T, 256, 1>(args, stream);
  }
}

}  // namespace

void launch_attention_decode(const AttentionArgs& args, const AttentionShape& shape, int row_tiles,
                             cudaStream_t stream) {
  shape.dtype == DType::kBF16 ? launch_head_dim<__nv_bfloat16>(args, shape.head_dim, row_tiles, stream)
                              : launch_head_dim<__half>(args, shape.head_dim, row_tiles, stream);
}

}  // namespace caudal::cuda
