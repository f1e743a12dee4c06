// The attention kernels behind paged_attention (attention.cu), one launcher per .cu file.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/cuda/attention/attention_plan.h"

namespace caudal::cuda {

struct AttentionArgs;

void launch_attention_decode(const AttentionArgs& args, const AttentionShape& shape, int row_tiles,
                             cudaStream_t stream);
void launch_attention_prefill(const AttentionArgs& args, const AttentionShape& shape, int workers, cudaStream_t stream);
// num_blocks: of k_cache and v_cache. head_dim 64, 128 or 256; compute capability 9.0.
void launch_attention_prefill_sm90(const AttentionArgs& args, const AttentionShape& shape, long long num_blocks,
                                   int workers, cudaStream_t stream);
void launch_attention_merge(const AttentionArgs& args, const AttentionShape& shape, const AttentionGrid& grid,
                            cudaStream_t stream);

}  // namespace caudal::cuda
