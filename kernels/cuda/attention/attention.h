// Paged attention on CUDA: what a backend calls. Host only; no kernel code.
//
//   at start         geometry = attention_geometry(shape, device); a workspace of attention_workspace_bytes(geometry)
//   once per step    plan = plan_attention(geometry, ..., window); upload plan.words to the device with the batch
//                    (one plan per distinct sliding window of the model's layers)
//   once per layer   paged_attention(geometry, plan.grid, call, stream): prefill and decode kernels, then the merge
//
// Graphs: the kernels read all work from device memory. A call captured with AttentionGrid::capture(geometry, pairs)
// replays any plan that this grid covers(); only the words change. Calls on one stream may share the workspace.
// The result does not depend on timing, but a row's last bits depend on how the batch was cut. Semantics are those
// of op::PagedAttention (kernels/ops.h).
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/attention_batch.h"
#include "kernels/cuda/attention/attention_plan.h"

namespace caudal::cuda {

struct AttentionCall {
  Tensor q;            // [num_tokens, num_heads, head_dim]; rows may be strided by a multiple of 8 elements
  Tensor k_cache;      // [num_blocks, 16, num_kv_heads, head_dim], 16-byte aligned; bf16 or f16, as q and out
  Tensor v_cache;      // [num_blocks, 16, num_kv_heads, head_dim]
  Tensor block_table;  // i32 [num_sequences, max_blocks], on the device
  Tensor out;          // [num_tokens, num_heads, head_dim]
  AttentionParams params;
  const std::int32_t* plan_words = nullptr;  // AttentionPlan::words on the device, 16-byte aligned
  void* workspace = nullptr;                 // attention_workspace_bytes, 16-byte aligned
};

// Queues the whole batch on `stream`. Shapes that do not fit `geometry` are a CHECK.
void paged_attention(const AttentionGeometry& geometry, const AttentionGrid& grid, const AttentionCall& call,
                     cudaStream_t stream);

}  // namespace caudal::cuda
