// Attention: grouped-query attention (arXiv 2305.13245) with rotary embedding over the paged KV cache; optionally with
// biases, with a norm of each head of q and k, and with a sliding window. Owned by a model; step thread.
#pragma once

#include <cstdint>
#include <string>

#include "worker/model/blocks/parallel.h"

namespace caudal {

// cos and sin for every position that is served: f32 [max_context, 2, head_dim / 2].
Weight make_rope_table(ModelBuilder& builder, std::int64_t head_dim);

class Attention {
 public:
  // Heads and window are those of the config's layer with this index. `prefix` is that of its tensors in the
  // checkpoint, as in "model.layers.0.self_attn.".
  Attention(ModelBuilder& builder, const std::string& prefix, std::size_t layer);

  // Stores K and V of the batch's tokens in `cache`. x and out [num_tokens, hidden], out may be x; cos_sin f32
  // [max_context, 2, head_dim / 2].
  void forward(const Tensor& x, const DeviceBatch& batch, const LayerCache& cache, const Tensor& cos_sin,
               const Tensor& out) const;

 private:
  Backend* backend_;
  Workspace* workspace_;
  DType dtype_;
  std::int64_t num_heads_, num_kv_heads_, head_dim_;  // heads of this rank
  std::int32_t sliding_window_;
  float norm_eps_;
  ColumnParallelLinear qkv_;
  Weight q_norm_, k_norm_;
  RowParallelLinear output_;
};

}  // namespace caudal
