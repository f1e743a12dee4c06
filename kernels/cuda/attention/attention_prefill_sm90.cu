// Flash prefill attention over paged KV for Hopper: TMA, wgmma, warp-specialised (after FlashAttention-3,
// arXiv 2407.08608).
//
// A block owns an SM. Warp 0 produces: one TMA box of 16 tokens x 64 columns per page, into rings of K and V
// stages. Two warpgroups consume: each has 64 of the tile's 128 pairs, scores from shared memory, weights
// from registers:
//
//   step t          S = Q K(t)^T   issued, then   O += P V(t-1)   issued;  softmax of S while the second runs
//   warpgroups      take turns to issue, so that one's softmax runs under the other's products
//
// FLOPs: 4 * head_dim * keys seen per pair; head_dim 128, 128 x 128 keys: 8.4 MFLOP, 1,024 cycles of an SM's
// tensor cores and 1,024 of its exp2 units: only the overlap gets past half of the peak. Bytes: 512 per key
// and tile at head_dim 128, 64 KiB per step from L2. Shared memory: 160 KiB at head_dim 128, 80 at 64, 192 at
// 256.
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/attention_sm90_consumer.cuh"
#include "kernels/cuda/attention/attention_sm90_producer.cuh"
#include "kernels/cuda/device/tensor_map.h"

namespace caudal::cuda {
namespace {

template <typename T, int kHeadDim>
__global__ void __launch_bounds__(sm90::kThreads, 1)
    attention_prefill_sm90_kernel(const __grid_constant__ AttentionArgs args, const __grid_constant__ CUtensorMap k_map,
                                  const __grid_constant__ CUtensorMap v_map) {
#if SIMT_SM90
  using Shared = sm90::Shared<T, kHeadDim>;
  SIMT_DYN_SMEM(Shared, shared);
  sm90::init_barriers(*shared);
  const AttentionPlanHeader header = plan_header(args);
  const int total = header.num_prefill * args.num_kv_heads,
            group = static_cast<int>(threadIdx.x) / sm90::kGroupThreads - 1;
  if (group < 0) {
    ptx::reg_dealloc<40>();
    if (threadIdx.x < 32) {
      sm90::Producer<T, kHeadDim> producer{args, k_map, v_map, *shared, static_cast<int>(threadIdx.x)};
      for (PieceWalk walk(total); walk.more(); walk.next()) {
        producer.run(load_piece(args, header.prefill_offset + walk.index() / args.num_kv_heads),
                     walk.index() % args.num_kv_heads);
      }
    }
  } else {
    ptx::reg_alloc<232>();
    sm90::Consumer<T, kHeadDim> consumer(args, *shared, group);
    if (group == 1) ptx::bar_arrive(sm90::kTurnBarrier, 2 * sm90::kGroupThreads);
    for (PieceWalk walk(total); walk.more(); walk.next()) {
      consumer.kv_head = walk.index() % args.num_kv_heads;
      consumer.piece = load_piece(args, header.prefill_offset + walk.index() / args.num_kv_heads);
      consumer.run();
    }
    if (group == 0) ptx::bar_sync(sm90::kTurnBarrier, 2 * sm90::kGroupThreads);  // takes the last turn given
  }
#endif
}

template <typename T>
void launch_head_dim(const AttentionArgs& args, const AttentionShape& shape, const CUtensorMap& k_map,
                     const CUtensorMap& v_map, int workers, cudaStream_t stream) {
  const auto launch = [&](auto kernel, size_t shared_bytes) {
    simt::launch(kernel, static_cast<unsigned>(workers), sm90::kThreads, shared_bytes, stream, args, k_map, v_map);
  };
  switch (shape.head_dim) {
    case 64:
      return launch(attention_prefill_sm90_kernel<T, 64>, sizeof(sm90::Shared<T, 64>));
    case 128:
      return launch(attention_prefill_sm90_kernel<T, 128>, sizeof(sm90::Shared<T, 128>));
    default:
      return launch(attention_prefill_sm90_kernel<T, 256>, sizeof(sm90::Shared<T, 256>));
  }
}

}  // namespace

void launch_attention_prefill_sm90(const AttentionArgs& args, const AttentionShape& shape, long long num_blocks,
                                   int workers, cudaStream_t stream) {
  const std::int64_t columns = std::int64_t{shape.num_kv_heads} * shape.head_dim;
  const auto map = [&](const void* cache) {
    return make_tensor_map<2>(cache, shape.dtype, {columns, num_blocks * kPage}, {columns * 2}, {64, kPage},
                              CU_TENSOR_MAP_SWIZZLE_128B);
  };
  const CUtensorMap k_map = map(args.k_cache), v_map = map(args.v_cache);
  shape.dtype == DType::kBF16 ? launch_head_dim<__nv_bfloat16>(args, shape, k_map, v_map, workers, stream)
                              : launch_head_dim<__half>(args, shape, k_map, v_map, workers, stream);
}

}  // namespace caudal::cuda
