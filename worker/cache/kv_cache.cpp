#include "worker/cache/kv_cache.h"

#include <algorithm>

namespace caudal {

std::size_t KvShape::block_bytes() const {
  return 2 * layers_per_group(groups) * static_cast<std::size_t>(kBlockSize * num_kv_heads * head_dim) *
         dtype_bytes(dtype);
}

Result<KvCache> KvCache::create(Backend& backend, const KvShape& shape, std::int64_t num_blocks) {
  KvCache cache;
  const std::size_t num_arrays = layers_per_group(shape.groups);
  const auto add = [&](Tensor& tensor) -> Result<void> {
    Result<Buffer> buffer =
        backend.allocate(shape.block_bytes() / (2 * num_arrays) * static_cast<std::size_t>(num_blocks));
    if (!buffer) return buffer.error();
    tensor = buffer.value().tensor(shape.dtype, {num_blocks, kBlockSize, shape.num_kv_heads, shape.head_dim});
    cache.buffers_.push_back(std::move(buffer).value());
    return {};
  };
  cache.num_blocks_ = num_blocks;
  cache.num_groups_ = shape.groups.size();
  cache.arrays_.resize(num_arrays);
  for (Arrays& arrays : cache.arrays_) {
    if (Result<void> k = add(arrays.k); !k) return k.error();
    if (Result<void> v = add(arrays.v); !v) return v.error();
  }
  for (std::size_t group = 0; group < shape.groups.size(); ++group) {
    const std::vector<int>& layers = shape.groups[group].layers;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const std::size_t layer = layers[i];
      cache.layers_.resize(std::max(cache.layers_.size(), layer + 1));
      cache.layers_[layer] = {.k = cache.arrays_[i].k, .v = cache.arrays_[i].v, .group = group};
    }
  }
  return cache;
}

Result<KvCache> KvCache::create_on_host(Backend& backend, const KvCache& device, std::int64_t num_blocks) {
  KvCache cache;
  cache.num_blocks_ = num_blocks;
  if (num_blocks == 0) return cache;
  const auto add = [&](const Tensor& like, Tensor& tensor) -> Result<void> {
    const std::size_t block_bytes = like.rows(0, 1).bytes();
    Result<Buffer> buffer = backend.allocate_host(block_bytes * static_cast<std::size_t>(num_blocks));
    if (!buffer) return buffer.error();
    tensor = buffer.value().tensor(like.dtype(), {num_blocks, like.dim(1), like.dim(2), like.dim(3)});
    cache.buffers_.push_back(std::move(buffer).value());
    return {};
  };
  cache.num_groups_ = device.num_groups_;
  cache.arrays_.resize(device.arrays_.size());
  for (std::size_t i = 0; i < cache.arrays_.size(); ++i) {
    if (Result<void> k = add(device.arrays_[i].k, cache.arrays_[i].k); !k) return k.error();
    if (Result<void> v = add(device.arrays_[i].v, cache.arrays_[i].v); !v) return v.error();
  }
  return cache;
}

void KvCache::copy_blocks(Backend& backend, std::span<const BlockPair> copies, const KvCache& to) const {
  if (copies.empty()) return;
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    backend.copy_blocks(copies, arrays_[i].k, to.arrays_[i].k);
    backend.copy_blocks(copies, arrays_[i].v, to.arrays_[i].v);
  }
}

BlockCopies KvCache::copies_to(const KvCache& to, std::vector<BlockPair> pairs) const {
  BlockCopies copies{.pairs = std::move(pairs)};
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    copies.tensors.push_back({arrays_[i].k, to.arrays_[i].k});
    copies.tensors.push_back({arrays_[i].v, to.arrays_[i].v});
  }
  return copies;
}

}  // namespace caudal
