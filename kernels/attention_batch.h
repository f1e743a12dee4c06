// Which keys each query of a step may see. Data only, for every backend.
#pragma once

#include <cstdint>
#include <span>

#include "common/block_size.h"
#include "kernels/tensor.h"

namespace caudal {

// Sequence s has the query rows [query_start[s], query_start[s + 1]), which are its last tokens, and
// context_length[s] tokens of KV including them. Row r of it is at position context_length - (number of its rows) + r.
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

}  // namespace caudal
