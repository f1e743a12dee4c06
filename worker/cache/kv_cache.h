// KvCache: the paged K and V of every layer of one rank. The coordinator hands out block ids; here they are rows.
// Owned by the runner, used by the step thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace caudal {

// What one rank keeps of a token's K and V.
struct KvShape {
  std::int64_t num_layers = 0;
  std::int64_t num_kv_heads = 0;  // of this rank
  std::int64_t head_dim = 0;
  DType dtype = DType::kF32;

  std::size_t block_bytes() const;  // of K and V of all layers
};

struct LayerCache {
  Tensor k;  // [num_blocks, 16, kv_heads of this rank, head_dim]
  Tensor v;
};

class KvCache {
 public:
  static Result<KvCache> create(Backend& backend, const KvShape& shape, std::int64_t num_blocks);

  // Blocks of the same shape in host memory.
  static Result<KvCache> create_on_host(Backend& backend, const KvCache& device, std::int64_t num_blocks);

  std::int64_t num_blocks() const { return num_blocks_; }
  const LayerCache& layer(std::size_t i) const { return layers_[i]; }
  // In all layers, to another cache of the same shape or inside this one.
  void copy_blocks(Backend& backend, std::span<const BlockCopy> copies, const KvCache& to) const;

 private:
  std::int64_t num_blocks_ = 0;
  std::vector<Buffer> buffers_;
  std::vector<LayerCache> layers_;
};

}  // namespace caudal
