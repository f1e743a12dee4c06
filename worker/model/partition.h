// Partition: how much of a model one rank of a tensor-parallel group holds. Pure arithmetic, decided once.
// Heads, the MLP's inner dimension and the vocabulary are divided; hidden states are whole on every rank.
//
//   8 query heads, 2 KV heads        rank 0      rank 1      rank 2      rank 3
//   N = 2   query / KV heads         0-3 / 0     4-7 / 1
//   N = 4   (KV heads replicated)    0-1 / 0     2-3 / 0     4-5 / 1     6-7 / 1
#pragma once

#include <cstdint>
#include <vector>

#include "common/result.h"
#include "worker/model/model_config.h"

namespace caudal {

// [begin, begin + count) of a dimension. It may reach past the dimension's end: zeros stand there.
struct Range {
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

struct LayerPart {
  Range heads;     // of num_heads; divided evenly
  Range kv_heads;  // of num_kv_heads; divided evenly, or one head shared by several ranks
};

struct Partition {
  int rank = 0;
  int size = 1;
  std::vector<LayerPart> layers;
  Range intermediate;  // of intermediate_size; ceil(size / N) each, zeros past the end
  Range vocabulary;    // of vocab_size; ceil(size / N) each, zeros past the end
};

// An Error that says which N are possible when `size` cannot split every layer of this model.
Result<Partition> make_partition(const ModelConfig& config, int rank, int size);

}  // namespace caudal
