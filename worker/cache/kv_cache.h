// KvCache: the paged K and V of every layer of one rank. The coordinator hands out block ids; here they are rows of
// arrays. Layers of different KV groups share the arrays: their blocks never have the same id
// (worker/cache/kv_layout.h). Owned by the runner, used by the step thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "worker/cache/kv_layout.h"

namespace caudal {

// A view of the layer's part of the arrays. Block b is row b * rows_per_block() of its group.
struct LayerCache {
  Tensor k;  // [rows, 16, kv_heads of this rank, head_dim]
  Tensor v;
  std::size_t group = 0;  // whose blocks it has
};

// Of a plan, as rows of the caches.
template <IsBlockCopy Copy>
std::vector<BlockPair> block_pairs(const std::vector<Copy>& copies) {
  std::vector<BlockPair> pairs;
  pairs.reserve(copies.size());
  for (const Copy& copy : copies) pairs.push_back({copy.source.value(), copy.destination.value()});
  return pairs;
}

class KvCache {
 public:
  static Result<KvCache> create(Backend& backend, const KvShape& shape, std::int64_t num_blocks);

  // Blocks of the same shape in host memory.
  static Result<KvCache> create_on_host(Backend& backend, const KvCache& device, std::int64_t num_blocks);

  std::int64_t num_blocks() const { return num_blocks_; }
  // By KV group: what a block id counts for where the layers see their rows. As many layers share a pair of arrays.
  std::span<const std::int32_t> rows_per_block() const { return rows_per_block_; }
  const LayerCache& layer(std::size_t i) const { return layers_[i]; }
  // Of the group that each block belongs to, to another cache of the same shape or inside this one.
  void copy_blocks(Backend& backend, std::span<const BlockPair> copies, const KvCache& to) const;
  // The same as work for a CopyStream.
  BlockCopies copies_to(const KvCache& to, std::vector<BlockPair> pairs) const;

 private:
  struct Arrays {
    Tensor k, v;  // [num_blocks, 16, 1, elements of a token]
  };

  void add_layers(const KvShape& shape);

  std::int64_t num_blocks_ = 0;
  std::vector<std::int32_t> rows_per_block_;
  std::vector<Buffer> buffers_;
  std::vector<Arrays> arrays_;      // shared by all groups
  std::vector<LayerCache> layers_;  // of the model; none in host memory
};

}  // namespace caudal
