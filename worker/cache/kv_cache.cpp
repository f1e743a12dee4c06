#include "worker/cache/kv_cache.h"

namespace caudal {
namespace {

// The rows of a layer that is the index-th of `count` in an array [num_blocks, ...].
Tensor rows_of_layer(const Tensor& array, const KvLayer& layer, std::int64_t index, std::int64_t count) {
  const std::int64_t num_blocks = array.dim(0);
  const Tensor rows = array.reshaped({num_blocks * count, kBlockSize, layer.num_kv_heads, layer.head_dim});
  return rows.rows(index, (num_blocks - 1) * count + 1);  // up to that of the last block
}

}  // namespace

Result<KvCache> KvCache::create(Backend& backend, const KvShape& shape, std::int64_t num_blocks) {
  CHECK(num_blocks > 0);
  KvCache cache;
  cache.num_blocks_ = num_blocks;
  for (const std::int64_t elements : shape.row_elements()) {
    const auto add = [&](Tensor& tensor) -> Result<void> {
      Result<Buffer> buffer =
          backend.allocate(static_cast<std::size_t>(elements * num_blocks) * dtype_bytes(shape.dtype));
      if (!buffer) return buffer.error();
      tensor = buffer.value().tensor(shape.dtype, {num_blocks, kBlockSize, 1, elements / kBlockSize});
      cache.buffers_.push_back(std::move(buffer).value());
      return {};
    };
    Arrays& arrays = cache.arrays_.emplace_back();
    if (Result<void> k = add(arrays.k); !k) return k.error();
    if (Result<void> v = add(arrays.v); !v) return v.error();
  }
  cache.add_layers(shape);
  return cache;
}

void KvCache::add_layers(const KvShape& shape) {
  layers_.resize(shape.layers.size());
  for (std::size_t group = 0; group < shape.groups.size(); ++group) {
    const auto& [window, layers, layers_per_pair] = shape.groups[group];
    rows_per_block_.push_back(layers_per_pair);
    for (std::int64_t i = 0; i < std::ssize(layers); ++i) {
      const KvLayer& layer = shape.layers[layers[i]];
      const Arrays& arrays = arrays_[i / layers_per_pair];
      layers_[layers[i]] = {.k = rows_of_layer(arrays.k, layer, i % layers_per_pair, layers_per_pair),
                            .v = rows_of_layer(arrays.v, layer, i % layers_per_pair, layers_per_pair),
                            .group = group};
    }
  }
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
