// Paged attention for what the tensor-core kernels (attention.h) do not take: f32, and head sizes they were not made
// for. One block per query token and head, keys in the order of their positions, so a row depends on its own
// sequence only. Semantics are those of Backend::paged_attention (kernels/backend.h).
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/op_args.h"

namespace caudal::cuda {

inline constexpr int kPlainAttentionMaxHeadDim = 256;

struct PlainAttentionCall {
  Tensor q;        // [num_tokens, num_heads, head_dim], rows may be strided; f32, bf16 or f16
  Tensor k_cache;  // [num_blocks, 16, num_kv_heads, head_dim]
  Tensor v_cache;  // [num_blocks, 16, num_kv_heads, head_dim]
  const AttentionBatch* batch = nullptr;
  AttentionParams params;
  Tensor out;  // [num_tokens, num_heads, head_dim], rows may be strided
};

void plain_attention(const PlainAttentionCall& call, cudaStream_t stream);

}  // namespace caudal::cuda
