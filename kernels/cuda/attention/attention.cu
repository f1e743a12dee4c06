// paged_attention: checks the call against the geometry and queues the kernels that the grid names.
#include "kernels/cuda/attention/attention.h"

#include <cmath>

#include "common/check.h"
#include "kernels/cuda/attention/attention_kernels.h"
#include "kernels/cuda/attention/attention_tile.cuh"

namespace caudal::cuda {
namespace {

constexpr float kLog2E = 1.4426950408889634F;

void check_call(const AttentionShape& shape, const AttentionCall& call) {
  const auto is_heads = [&](const Tensor& x) {
    return x.rank() == 3 && x.dim(1) == shape.num_heads && x.dim(2) == shape.head_dim && x.dtype() == shape.dtype &&
           x.stride0() % 8 == 0;
  };
  const auto is_cache = [&](const Tensor& x) {
    return x.rank() == 4 && x.contiguous() && x.dim(1) == kBlockSize && x.dim(2) == shape.num_kv_heads &&
           x.dim(3) == shape.head_dim && x.dtype() == shape.dtype;
  };
  CHECK(is_heads(call.q) && is_heads(call.out) && call.q.dim(0) == call.out.dim(0));
  CHECK(is_cache(call.k_cache) && is_cache(call.v_cache) && call.k_cache.dim(0) == call.v_cache.dim(0));
  CHECK(call.block_table.rank() == 2 && call.block_table.dtype() == DType::kI32);
  CHECK(call.params.scale > 0.0F && call.params.sliding_window >= 0 && call.params.soft_cap >= 0.0F);
}

AttentionArgs make_args(const AttentionGeometry& geometry, const AttentionCall& call) {
  const AttentionParams& params = call.params;
  const bool capped = params.soft_cap > 0.0F;
  AttentionArgs args{};
  args.q = call.q.data(), args.out = call.out.data();
  args.k_cache = call.k_cache.data(), args.v_cache = call.v_cache.data();
  args.block_table = call.block_table.as<std::int32_t>();
  args.plan = call.plan_words;
  args.partial_out = static_cast<float*>(call.workspace);
  const auto rows =
      static_cast<std::size_t>(geometry.max_partial_rows) * static_cast<std::size_t>(geometry.shape.num_kv_heads);
  args.partial_state =
      reinterpret_cast<float2*>(args.partial_out + rows * static_cast<std::size_t>(geometry.shape.head_dim));
  args.q_stride = call.q.stride0(), args.out_stride = call.out.stride0();
  args.block_table_stride = static_cast<int>(call.block_table.stride0());
  args.max_partial_rows = geometry.max_partial_rows;
  args.decode_workers = geometry.decode_workers;
  args.num_kv_heads = geometry.shape.num_kv_heads;
  args.group = geometry.group();
  args.window = params.sliding_window;
  args.log2_scale = capped ? kLog2E : params.scale * kLog2E;
  args.soft_cap = params.soft_cap;
  args.cap_scale = capped ? 2.0F * kLog2E * params.scale / params.soft_cap : 0.0F;
  return args;
}

}  // namespace

void paged_attention(const AttentionGeometry& geometry, const AttentionGrid& grid, const AttentionCall& call,
                     cudaStream_t stream) {
  const AttentionShape& shape = geometry.shape;
  check_call(shape, call);
  const AttentionArgs args = make_args(geometry, call);
  if (grid.prefill_workers > 0) {
    geometry.hopper ? launch_attention_prefill_sm90(args, shape, call.k_cache.dim(0), grid.prefill_workers, stream)
                    : launch_attention_prefill(args, shape, grid.prefill_workers, stream);
  }
  if (grid.decode_row_tiles > 0) launch_attention_decode(args, shape, grid.decode_row_tiles, stream);
  if (grid.merges > 0) launch_attention_merge(args, shape, grid, stream);
}

}  // namespace caudal::cuda
