#include "worker/cache/kv_cache.h"

namespace caudal {

std::size_t KvShape::block_bytes() const {
  return static_cast<std::size_t>(2 * num_layers * kBlockSize * num_kv_heads * head_dim) * dtype_bytes(dtype);
}

Result<KvCache> KvCache::create(Backend& backend, const KvShape& shape, std::int64_t num_blocks) {
  KvCache cache;
  const std::size_t half_layer_bytes =
      shape.block_bytes() * static_cast<std::size_t>(num_blocks) / static_cast<std::size_t>(2 * shape.num_layers);
  const auto add = [&](Tensor& tensor) -> Result<void> {
    Result<Buffer> buffer = backend.allocate(half_layer_bytes);
    if (!buffer) return buffer.error();
    tensor = buffer.value().tensor(shape.dtype, {num_blocks, kBlockSize, shape.num_kv_heads, shape.head_dim});
    cache.buffers_.push_back(std::move(buffer).value());
    return {};
  };
  cache.num_blocks_ = num_blocks;
  cache.layers_.resize(static_cast<std::size_t>(shape.num_layers));
  for (LayerCache& layer : cache.layers_) {
    if (Result<void> k = add(layer.k); !k) return k.error();
    if (Result<void> v = add(layer.v); !v) return v.error();
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
  cache.layers_.resize(device.layers_.size());
  for (std::size_t i = 0; i < cache.layers_.size(); ++i) {
    if (Result<void> k = add(device.layer(i).k, cache.layers_[i].k); !k) return k.error();
    if (Result<void> v = add(device.layer(i).v, cache.layers_[i].v); !v) return v.error();
  }
  return cache;
}

void KvCache::copy_blocks(Backend& backend, std::span<const BlockCopy> copies, const KvCache& to) const {
  if (copies.empty()) return;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    backend.copy_blocks(copies, layers_[i].k, to.layers_[i].k);
    backend.copy_blocks(copies, layers_[i].v, to.layers_[i].v);
  }
}

}  // namespace caudal
