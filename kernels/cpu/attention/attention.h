// Paged attention on the CPU: what the plan (attention.cpp) and its kernels (attention_simd.cpp, attention_amx.cpp)
// share.
//
// Everything lies on boundaries of absolute positions, never on those of a batch or chunk:
//
//   KV tokens      0      64     128  ...   512    576  ...
//   tiles          [------)[------)         [------)          online softmax inside a split
//   splits         [------------------------)[---------       states folded in order
//
// A tile or split that a query may not see changes nothing, bit for bit, in that query's state. So decode (a task per
// split), a prefill chunk and a whole prefill (a task folds all its splits) give the same bits.
//
// Queries sit in lanes: up to 16 (token, head of the KV head's group) pairs of one sequence form a query tile;
// maxima and sums over tokens are vertical operations (S^T = K Q^T, O^T = V^T P^T).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/cpu_ops.h"

namespace caudal {

inline constexpr std::int64_t kQueryLanes = 16;
inline constexpr std::int64_t kKvSplit = 512;
inline constexpr std::int64_t kMaxQueryTiles = 8;  // of one task: shares the unpacking of K and V
inline constexpr float kNoScore = -1e30F;          // maximum of no scores; finite, so that differences are not NaN

// One call of paged_attention.
struct AttentionJob {
  Tensor q;        // [num_tokens, num_heads, head_dim]
  Tensor k_cache;  // [num_blocks, kBlockSize, num_kv_heads, head_dim]
  Tensor v_cache;  // [num_blocks, kBlockSize, num_kv_heads, head_dim]
  Tensor block_table;
  Tensor out;  // [num_tokens, num_heads, head_dim]
  AttentionParams params;
  std::int64_t group = 1;  // query heads per KV head
  std::int64_t head_dim = 0;
  std::int64_t num_kv_heads = 1;
};

// The queries of one task: num_tokens * group (token, head) pairs, heads innermost.
struct QueryRows {
  std::int64_t sequence = 0;
  std::int64_t kv_head = 0;
  std::int64_t first_row = 0;  // of q and out
  std::int64_t num_tokens = 0;
  std::int64_t first_position = 0;  // of first_row
  std::int64_t context_length = 0;
  std::int64_t group = 1;

  std::int64_t num_pairs() const { return num_tokens * group; }
  std::int64_t num_tiles() const { return (num_pairs() + kQueryLanes - 1) / kQueryLanes; }
  std::int64_t position(std::int64_t pair) const { return first_position + pair / group; }
  std::int64_t row(std::int64_t pair) const { return first_row + pair / group; }
  std::int64_t head(std::int64_t pair) const { return kv_head * group + pair % group; }
  std::int64_t last_position(std::int64_t tile) const;  // of the tile's last query
};

// Keys that some query of a tile sees, and those that all see: no mask is needed inside [all_begin, all_end).
struct KeyRange {
  std::int64_t begin = 0, end = 0, all_begin = 0, all_end = 0;
};
KeyRange key_range(const QueryRows& rows, std::int64_t tile, std::int64_t sliding_window);

// Softmax state of one query tile: floats [2 + head_dim][16], rows: maximum, sum of exponentials, weighted sum of V.
inline std::size_t state_floats(std::int64_t head_dim) { return (2 + head_dim) * kQueryLanes; }
void clear_state(float* state, std::int64_t head_dim);

// Base address of a token's K or V row of one KV head in the paged cache.
template <typename T>
const T* cache_row(const Tensor& cache, const AttentionJob& job, const QueryRows& rows, std::int64_t token) {
  const std::int64_t block =
      job.block_table.as<std::int32_t>()[rows.sequence * job.block_table.stride0() + token / kBlockSize];
  return cache.as<T>() + block * cache.stride0() +
         (token % kBlockSize * job.num_kv_heads + rows.kv_head) * job.head_dim;
}

struct CpuAttentionKernel {
  std::size_t query_bytes = 0;  // of one packed query tile
  std::size_t work_bytes = 0;   // scratch of attend

  // The queries of `tile` into lanes; lanes without a query are zero.
  void (*pack_query)(const AttentionJob& job, const QueryRows& rows, std::int64_t tile, void* packed) = nullptr;

  // Adds KV tokens [begin, end) of one split to the states of all tiles, which start cleared.
  void (*attend)(const AttentionJob& job, const QueryRows& rows, std::int64_t begin, std::int64_t end,
                 const void* packed, float* states, void* work) = nullptr;

  // state = state, then `next`: the softmax over both.
  void (*fold)(const AttentionJob& job, float* state, const float* next) = nullptr;
};

CpuAttentionKernel attention_simd(const CpuContext& context, std::int64_t head_dim);
CpuAttentionKernel attention_amx(std::int64_t head_dim);  // bf16, Isa::kAmx

}  // namespace caudal
