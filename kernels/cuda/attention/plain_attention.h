// Paged attention for what the tensor-core kernels (attention.h) do not take: f32, and head sizes they were not made
// for. One block per query token and head, keys in the order of their positions, so a row depends on its own
// sequence only. Semantics are those of op::PagedAttention (kernels/ops.h).
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/ops.h"

namespace caudal::cuda {

inline constexpr int kPlainAttentionMaxHeadDim = 256;

void plain_attention(const op::PagedAttention& o, cudaStream_t stream);

}  // namespace caudal::cuda
