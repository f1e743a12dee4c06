// Vocabulary of the attention kernels: launch arguments, rows, score transform, online softmax, results.
//
// Fragments are those of mma.m16n8k16: in an accumulator float[4] of a 16 x 8 tile, a lane holds row lane / 4
// (elements 0, 1) and row lane / 4 + 8 (2, 3), columns lane % 4 * 2 + {0, 1}. wgmma accumulators repeat it
// per warp and 8 columns. FlashAttention-2 (arXiv 2307.08691), Flash-Decoding; grouped rows as in GQA packing
// (arXiv 2305.13245).
#pragma once

#include "kernels/cuda/attention/attention_plan.h"
#include "kernels/cuda/device/ptx.cuh"

namespace caudal::cuda {

struct AttentionArgs {
  const void* q;  // token t, head h at q + t * q_stride + h * head_dim
  const void* k_cache;
  const void* v_cache;
  void* out;
  const int* block_table;
  const int* plan;
  float* partial_out;     // [num_kv_heads, max_partial_rows, head_dim]
  float2* partial_state;  // [num_kv_heads, max_partial_rows]: maximum in log2 units, sum of weights
  long long q_stride;     // elements
  long long out_stride;
  int block_table_stride;
  int max_partial_rows;
  int decode_workers;
  int num_kv_heads;
  int group;
  int window;        // 0 = none
  float log2_scale;  // of a score after soft_cap, to log2 units
  float soft_cap;    // 0 = none
  float cap_scale;   // 2 log2(e) scale / soft_cap
};

__device__ __forceinline__ AttentionPlanHeader plan_header(const AttentionArgs& args) {
  const int4 words = *reinterpret_cast<const int4*>(args.plan);
  return {words.x, words.y, words.z, words.w};
}

__device__ __forceinline__ AttentionPiece load_piece(const AttentionArgs& args, int unit) {
  const int4* words = reinterpret_cast<const int4*>(args.plan + unit * kPlanUnit);
  const int4 a = words[0], b = words[1];
  return {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
}

// The (piece, KV head) pairs of one block of a prefill grid, pieces longest first: forth over the blocks in
// even rounds, back in odd ones.
class PieceWalk {
 public:
  __device__ __forceinline__ explicit PieceWalk(int total) : total_(total), index_(static_cast<int>(blockIdx.x)) {}
  __device__ __forceinline__ bool more() const { return index_ < total_; }
  __device__ __forceinline__ int index() const { return index_; }
  __device__ __forceinline__ void next() {
    const int workers = static_cast<int>(gridDim.x), in_round = index_ % workers;
    index_ += 2 * (workers - 1 - in_round) + 1;
  }

 private:
  int total_, index_;
};

// Elements from q (or out) to the row of a pair.
__device__ __forceinline__ long long row_offset(const AttentionArgs& args, const AttentionPiece& piece, int kv_head,
                                                int row, long long stride, int head_dim) {
  const int pair = piece.first_pair + row;
  return (piece.first_token + pair / args.group) * stride +
         static_cast<long long>(kv_head * args.group + pair % args.group) * head_dim;
}

// Keys that a row sees: (last - window, last].
struct KeyLimits {
  int first, last;
  __device__ __forceinline__ bool sees(int key) const { return key >= first && key <= last; }
};
__device__ __forceinline__ KeyLimits key_limits(const AttentionArgs& args, const AttentionPiece& piece, int row) {
  const int position = piece.first_position + (piece.first_pair + row) / args.group;
  return {args.window == 0 ? 0 : position - args.window + 1, min(position, piece.kv_end - 1)};
}

// Whether some row of [first_row, last_row] does not see some of the keys [key0, key0 + keys).
struct TileLimits {
  int first, last;  // keys in here are seen by all rows
  __device__ __forceinline__ bool cut(int key0, int keys) const { return key0 < first || key0 + keys - 1 > last; }
};
__device__ __forceinline__ TileLimits tile_limits(const AttentionArgs& args, const AttentionPiece& piece, int first_row,
                                                  int last_row) {
  return {key_limits(args, piece, last_row).first, key_limits(args, piece, first_row).last};
}

// cap * tanh(score / cap); exact to a few ulp of cap, unlike tanh.approx.
__device__ __forceinline__ float capped(const AttentionArgs& args, float score) {
  return args.soft_cap * (1.0F - __fdividef(2.0F, ptx::ex2(score * args.cap_scale) + 1.0F));
}

// Online softmax of one row, spread over the 4 lanes of a quad; `sum` is each lane's own share until
// finish().
struct SoftmaxRow {
  float maximum = -INFINITY;  // in log2 units
  float sum = 0.0F;

  // Takes the lane's own largest score of the next keys. Sets what is subtracted from scores before exp2,
  // returns what the sums so far are multiplied by.
  __device__ __forceinline__ float advance(float score, float log2_scale, float& base) {
    score = fmaxf(score, __shfl_xor_sync(~0U, score, 1));
    score = fmaxf(score, __shfl_xor_sync(~0U, score, 2));
    const float next = fmaxf(maximum, score * log2_scale);
    base = next == -INFINITY ? 0.0F : next;
    const float correction = ptx::ex2(maximum - base);
    maximum = next;
    sum *= correction;
    return correction;
  }
  __device__ __forceinline__ void finish() {
    sum += __shfl_xor_sync(~0U, sum, 1);
    sum += __shfl_xor_sync(~0U, sum, 2);
  }
};

// Scores of N tiles of 8 keys become weights in place; `correction` for the rows lane / 4 and lane / 4 + 8.
// key0 = absolute position of the lane's first key.
template <int N>
__device__ __forceinline__ void softmax_tiles(const AttentionArgs& args, float (&scores)[N][4], int key0, bool masked,
                                              const KeyLimits (&limits)[2], SoftmaxRow (&rows)[2],
                                              float (&correction)[2]) {
  if (args.soft_cap > 0.0F) {
#pragma unroll
    for (int i = 0; i < 4 * N; ++i) scores[i / 4][i % 4] = capped(args, scores[i / 4][i % 4]);
  }
  if (masked) {
#pragma unroll
    for (int i = 0; i < 4 * N; ++i) {
      if (!limits[i % 4 / 2].sees(key0 + i / 4 * 8 + i % 2)) scores[i / 4][i % 4] = -INFINITY;
    }
  }
  float largest[4] = {scores[0][0], scores[0][1], scores[0][2], scores[0][3]};  // four short chains, not two long ones
#pragma unroll
  for (int i = 4; i < 4 * N; ++i) largest[i % 4] = fmaxf(largest[i % 4], scores[i / 4][i % 4]);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float base, sums[2] = {0.0F, 0.0F};
    correction[half] = rows[half].advance(fmaxf(largest[2 * half], largest[2 * half + 1]), args.log2_scale, base);
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float& score = scores[n][2 * half + i];
        score = ptx::ex2(fmaf(score, args.log2_scale, -base));
        sums[i] += score;
      }
    }
    rows[half].sum += sums[0] + sums[1];
  }
}

// Scales what has been summed to the new maxima, which after the first tiles seldom change.
template <int N>
__device__ __forceinline__ void rescale(float (&sums)[N][4], const float (&correction)[2]) {
  if (!__any_sync(~0U, correction[0] != 1.0F || correction[1] != 1.0F)) return;
#pragma unroll
  for (int i = 0; i < 4 * N; ++i) sums[i / 4][i % 4] *= correction[i % 4 / 2];
}

// Weights of 16 keys (two accumulator tiles) as an operand: tile 0 has its columns 0 to 7, tile 1 the others.
template <typename T>
__device__ __forceinline__ void pack_weights(const float (&low)[4], const float (&high)[4], uint32_t (&operand)[4]) {
  operand[0] = ptx::pack2<T>(low[0], low[1]);
  operand[1] = ptx::pack2<T>(low[2], low[3]);
  operand[2] = ptx::pack2<T>(high[0], high[1]);
  operand[3] = ptx::pack2<T>(high[2], high[3]);
}

// Two neighbouring elements of a finished row, to out or to the partial results.
template <typename T, int kHeadDim>
struct RowWriter {
  T* out = nullptr;
  float* partial = nullptr;
  float inverse = 0.0F;

  __device__ __forceinline__ RowWriter(const AttentionArgs& args, const AttentionPiece& piece, int kv_head, int row,
                                       float maximum, float sum, bool first) {
    if (piece.partial < 0) {
      out = static_cast<T*>(args.out) + row_offset(args, piece, kv_head, row, args.out_stride, kHeadDim);
      inverse = 1.0F / sum;
    } else {
      const size_t index = static_cast<size_t>(kv_head) * args.max_partial_rows + piece.partial + row;
      partial = args.partial_out + index * kHeadDim;
      if (first) args.partial_state[index] = make_float2(maximum, sum);
    }
  }
  __device__ __forceinline__ void write(int column, float low, float high) const {
    if (out != nullptr) {
      *reinterpret_cast<uint32_t*>(out + column) = ptx::pack2<T>(low * inverse, high * inverse);
    } else {
      *reinterpret_cast<float2*>(partial + column) = make_float2(low, high);
    }
  }
};

// Rows of head_dim elements in shared memory, 16 bytes apart from a multiple of 128: eight rows of one column
// lie in different banks for ldmatrix at every head size.
template <int kHeadDim>
inline constexpr int kRowPitch = kHeadDim + 8;

}  // namespace caudal::cuda
