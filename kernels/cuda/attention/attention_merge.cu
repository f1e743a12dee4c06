// Folds the partial results of split contexts: one block per 16 rows of a merge and KV head, a warp per row.
// Bytes: num_partials * (head_dim + 2) * 4 read and head_dim * 2 written per row.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/attention_tile.cuh"

namespace caudal::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kSliceRows = 16;

template <typename T, int kHeadDim>
__device__ __forceinline__ void merge_row(const AttentionArgs& args, const AttentionMerge& merge, int kv_head, int row,
                                          int lane) {
  const size_t first = static_cast<size_t>(kv_head) * args.max_partial_rows + merge.partial + row;
  float maximum = -INFINITY;
  for (int i = lane; i < merge.num_partials; i += 32)
    maximum = fmaxf(maximum, args.partial_state[first + i * merge.num_pairs].x);
  for (int distance = 16; distance > 0; distance /= 2)
    maximum = fmaxf(maximum, __shfl_xor_sync(~0U, maximum, distance));
  constexpr int kPairs = (kHeadDim / 2 + 31) / 32;  // of elements, per lane
  float sum = 0.0F;
  float2 value[kPairs] = {};
  for (int i = 0; i < merge.num_partials; ++i) {
    const size_t part = first + static_cast<size_t>(i) * merge.num_pairs;
    const float2 state = args.partial_state[part];
    const float weight = state.x == -INFINITY ? 0.0F : ptx::ex2(state.x - maximum);
    sum += weight * state.y;
#pragma unroll
    for (int j = 0; j < kPairs; ++j) {
      const int column = (lane + 32 * j) * 2;
      if (column >= kHeadDim) break;
      const float2 next = *reinterpret_cast<const float2*>(args.partial_out + part * kHeadDim + column);
      value[j].x += weight * next.x, value[j].y += weight * next.y;
    }
  }
  AttentionPiece piece{};
  piece.first_token = merge.first_token, piece.first_pair = merge.first_pair;
  const RowWriter<T, kHeadDim> writer(args, piece, kv_head, row, maximum, sum, false);
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int column = (lane + 32 * j) * 2;
    if (column < kHeadDim) writer.write(column, value[j].x, value[j].y);
  }
}

template <typename T, int kHeadDim>
__global__ void __launch_bounds__(32 * kWarps) attention_merge_kernel(const __grid_constant__ AttentionArgs args) {
  const AttentionPlanHeader header = plan_header(args);
  const int index = static_cast<int>(blockIdx.y);
  if (index >= header.num_merges) return;
  const int4* words = reinterpret_cast<const int4*>(args.plan + (header.merge_offset + index) * kPlanUnit);
  const int4 a = words[0], b = words[1];
  const AttentionMerge merge{a.x, a.y, a.z, a.w, b.x, {}};
  const int end = min(merge.num_pairs, static_cast<int>(blockIdx.z + 1) * kSliceRows);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int row = static_cast<int>(blockIdx.z) * kSliceRows + warp; row < end; row += kWarps) {
    merge_row<T, kHeadDim>(args, merge, static_cast<int>(blockIdx.x), row, lane);
  }
}

template <typename T>
void launch_head_dim(const AttentionArgs& args, int head_dim, const AttentionGrid& grid, cudaStream_t stream) {
  const dim3 blocks(static_cast<unsigned>(args.num_kv_heads), static_cast<unsigned>(grid.merges),
                    static_cast<unsigned>(grid.merge_slices));
  const auto launch = [&](auto kernel) { simt::launch(kernel, blocks, 32 * kWarps, 0, stream, args); };
  switch (head_dim) {
    case 64:
      return launch(attention_merge_kernel<T, 64>);
    case 80:
      return launch(attention_merge_kernel<T, 80>);
    case 96:
      return launch(attention_merge_kernel<T, 96>);
    case 128:
      return launch(attention_merge_kernel<T, 128>);
    default:
      return launch(attention_merge_kernel<T, 256>);
  }
}

}  // namespace

void launch_attention_merge(const AttentionArgs& args, const AttentionShape& shape, const AttentionGrid& grid,
                            cudaStream_t stream) {
  shape.dtype == DType::kBF16 ? launch_head_dim<__nv_bfloat16>(args, shape.head_dim, grid, stream)
                              : launch_head_dim<__half>(args, shape.head_dim, grid, stream);
}

}  // namespace caudal::cuda
