// KvCache: the paged K and V of every layer of one rank. The coordinator hands out block ids; here they are rows.
// Layers of different KV groups share the arrays: their blocks never have the same id (worker/cache/kv_layout.h). Owned
// by the runner, used by the step thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "worker/cache/kv_layout.h"

namespace caudal {

// What one rank keeps of a token's K and V.
struct KvShape {
  std::vector<KvGroup> groups;
  std::int64_t num_kv_heads = 0;  // of this rank
  std::int64_t head_dim = 0;
  DType dtype = DType::kF32;

  std::size_t block_bytes() const;  // of K and V of all layers of a group
};

struct LayerCache {
  Tensor k;  // [num_blocks, 16, kv_heads of this rank, head_dim]
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
  std::size_t num_groups() const { return num_groups_; }
  const LayerCache& layer(std::size_t i) const { return layers_[i]; }
  // Of the group that each block belongs to, to another cache of the same shape or inside this one.
  void copy_blocks(Backend& backend, std::span<const BlockPair> copies, const KvCache& to) const;
  // The same as work for a CopyStream.
  BlockCopies copies_to(const KvCache& to, std::vector<BlockPair> pairs) const;

 private:
  struct Arrays {
    Tensor k, v;
  };

  std::int64_t num_blocks_ = 0;
  std::size_t num_groups_ = 1;
  std::vector<Buffer> buffers_;
  std::vector<Arrays> arrays_;      // for the layers of a group
  std::vector<LayerCache> layers_;  // of the model; none in host memory
};

}  // namespace caudal
