// KvGroup: layers that share a block table. They see equally far back, so their blocks come and go together: a group
// with a window frees the blocks behind it although another group still reads everything.
//
// All groups take their block ids from one pool, so a block has the same bytes in each group. The cache is some pairs
// of arrays, one for K and one for V, with a row for each block. As many layers of a group share a pair as fill its
// rows:
//
//   window by layer             0  8  8  0  8  8  8
//   KV heads, all of 64         4  2  2  4  2  2  2
//
//   group                       layers by pair of arrays         a pair's row of block 5, seen by one of the layers
//   {window 0, 4 heads of 64}   0      | 3                       row 5: 4 heads
//   {window 8, 2 heads of 64}   1 2    | 4 5                     row 10 for layers 1 and 4, 11 for 2 and 5: 2 heads
//   {window 8, 2 heads of 64}   6 -    | - -                     room that is not used
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/block_size.h"
#include "kernels/tensor.h"

namespace caudal {

// What a layer keeps of a token, and for how long.
struct KvLayer {
  std::int64_t num_kv_heads = 0;  // of this rank
  std::int64_t head_dim = 0;
  std::int32_t window = 0;  // a query at p reads the keys in (p - window, p]; 0 = all up to p

  std::int64_t block_elements() const { return kBlockSize * num_kv_heads * head_dim; }  // of K, and as many of V
};

struct KvGroup {
  std::int32_t window = 0;  // of its layers
  std::vector<int> layers;  // indices of the model's layers, rising
  int layers_per_pair = 1;  // of arrays

  bool operator==(const KvGroup&) const = default;
};

// The groups of a model. The one that sees the furthest comes first.
// - Layers of one kind see equally far and keep equally much: they have the same window, and the same KV heads times
//   head size. Each kind is cut into groups that need as many pairs of arrays as the kind that needs the fewest (vLLM's
//   hybrid KV cache does the same). Where these numbers are nearly equal, a group is a whole kind, and has as many
//   pairs as the kind that needs the most.
// - Layers that all see equally far are one group whatever their sizes: no block could be freed earlier.
// - Sizes may fit so badly that more than half of the room would be unused. Then all layers are one group, which keeps
//   everything.
std::vector<KvGroup> make_kv_groups(std::span<const KvLayer> layers);

// All layers in one group that keeps everything: where another model keeps its K and V under the same block ids.
std::vector<KvGroup> merge_kv_groups(std::span<const KvGroup> groups);

// What one rank keeps of K and V, and how it is laid out.
struct KvShape {
  std::vector<KvLayer> layers;  // of the model
  std::vector<KvGroup> groups;
  DType dtype = DType::kF32;

  // Elements of a row of each pair of arrays, in K as in V: the block's.
  std::vector<std::int64_t> row_elements() const;
  // Of a block of the pool: K and V of its 16 tokens in all layers of a group.
  std::size_t block_bytes() const;
};

}  // namespace caudal
