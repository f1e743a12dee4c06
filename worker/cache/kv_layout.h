// KvGroup: layers that share a block table. All layers of a group see equally far back, so their blocks come and go
// together: a group with a window frees the blocks behind it although another group still reads everything.
//
// All groups take their block ids from one pool, so a block has the same size in each: room for K and V of
// layers_per_group() layers. The cache has that many pairs of arrays; layer layers[i] of any group uses the i-th pair.
//
//   windows by layer   0 8 8 8 8 0 8      groups {window 0, layers 0 5} {8, layers 1 2} {8, layers 3 4} {8, layers 6}
//   pair of arrays     0 0 1 0 1 1 0      the last group leaves its second pair unused
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace caudal {

struct KvGroup {
  std::int32_t window = 0;  // a query at p reads the keys in (p - window, p]; 0 = all up to p
  std::vector<int> layers;  // indices of the model's layers, rising

  bool operator==(const KvGroup&) const = default;
};

// The groups of a model whose layers have these windows and equal head sizes. Layers of one window are cut into groups
// of as many layers as the rarest window has (vLLM's hybrid KV cache does the same). Where the counts are nearly equal
// the groups are as large as the most frequent window's instead. The group that sees the furthest comes first.
std::vector<KvGroup> make_kv_groups(std::span<const std::int32_t> windows);

// All layers in one group that keeps everything: where another model keeps its K and V under the same block ids.
std::vector<KvGroup> merge_kv_groups(std::span<const KvGroup> groups);

// Layers that a block has room for: those of the largest group.
std::size_t layers_per_group(std::span<const KvGroup> groups);

}  // namespace caudal
