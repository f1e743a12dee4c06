// What attention and rope are told beside their tensors. Data only, for every backend.
#pragma once

#include <cstdint>
#include <span>

#include "common/block_size.h"
#include "kernels/tensor.h"

namespace caudal {

// Which KV each query row of a step may see. Sequence s has query rows
// [query_start[s], query_start[s + 1]) which are its last tokens, and context_length[s] KV tokens
// including them: row r of it sits at position context_length - (number of its rows) + r.
//
//   sequence        0             1  2
//   tokens now      chunk of 5    1  1      query_start    = 0 5 6 7
//   KV so far       32 + 5        8  100    context_length = 37 8 100
struct AttentionBatch {
  Tensor query_start;     // i32 [num_sequences + 1]
  Tensor context_length;  // i32 [num_sequences]
  Tensor block_table;     // i32 [num_sequences, max_blocks]; entries past the context are not read
  std::span<const std::int32_t> query_start_host;  // the same on the host, for planning
  std::span<const std::int32_t> context_length_host;
};

struct AttentionParams {
  float scale = 1.0F;               // of q.k, usually 1 / sqrt(head_dim)
  std::int32_t sliding_window = 0;  // 0 = none; else a query at p sees keys in (p - window, p]
  float soft_cap = 0.0F;            // 0 = none; else cap * tanh(score / cap)
};

// Rotates q and k in place inside qkv and stores k and v in the paged cache, one pass over memory.
struct RopeCacheArgs {
  Tensor qkv;         // [num_tokens, (num_heads + 2 num_kv_heads) * head_dim], q then k then v; q, k rotated in place
  Tensor positions;   // i32 [num_tokens]
  Tensor cache_slot;  // i32 [num_tokens], block * 16 + offset in the block
  Tensor cos_sin;     // f32 [max_position, 2, head_dim / 2]: cos then sin, "rotate half" pairs (i, i + head_dim / 2)
  Tensor q_norm;      // [head_dim] or empty: rms norm of each head before the rotation (Qwen3)
  Tensor k_norm;      // [head_dim] or empty
  float norm_eps = 0.0F;
  Tensor k_cache;  // [num_blocks, 16, num_kv_heads, head_dim]
  Tensor v_cache;  // [num_blocks, 16, num_kv_heads, head_dim]
};

}  // namespace caudal
