#include "worker/kv_cache.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

namespace caudal {
namespace {

std::string human(std::size_t bytes) {
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes) / 1024.0;
  std::size_t unit = 0;
  for (; value >= 1024.0 && unit + 1 < kUnits.size(); ++unit) value /= 1024.0;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

}  // namespace

std::string MemoryPlan::describe() const {
  std::string text = fmt::format("weights {}, workspace {}, KV {} in {} blocks of {} tokens", human(weights_bytes),
                                 human(workspace_bytes), human(kv_bytes()), num_blocks, kBlockSize);
  if (num_host_blocks > 0) {
    const std::size_t host_bytes = host_block_bytes * static_cast<std::size_t>(num_host_blocks);
    text += fmt::format(", and {} of host memory for {} swapped blocks", human(host_bytes), num_host_blocks);
  }
  return text;
}

std::size_t kv_block_bytes(const ModelConfig& config, const Partition& part, DType dtype) {
  const std::int64_t values = 2 * config.num_layers * kBlockSize * part.kv_heads.count * config.head_dim;
  return static_cast<std::size_t>(values) * dtype_bytes(dtype);
}

Result<MemoryPlan> plan_memory(const MemoryNeeds& needs, const KvBudget& budget, std::size_t free_bytes) {
  if (budget.num_blocks > 0 && budget.kv_cache_bytes > 0)
    return Error{"choose one of --num-blocks and --kv-cache-bytes", "num-blocks"};
  if (!(budget.memory_fraction > 0.0) || budget.memory_fraction > 1.0)
    return Error{"--memory-fraction must be above 0 and at most 1", "memory-fraction"};
  MemoryPlan plan{needs.weights_bytes, needs.workspace_bytes, needs.block_bytes, 0};
  const auto ranks = static_cast<std::size_t>(budget.ranks_on_device);
  const std::size_t fixed = plan.total_bytes();
  std::size_t share = free_bytes / ranks;
  const char* flag = "memory-fraction";
  if (budget.num_blocks > 0) {
    flag = "num-blocks";
    plan.num_blocks = budget.num_blocks;
  } else if (budget.kv_cache_bytes > 0) {
    flag = "kv-cache-bytes";
    plan.num_blocks = static_cast<std::int64_t>(budget.kv_cache_bytes / plan.block_bytes);
  } else {
    share = static_cast<std::size_t>(static_cast<double>(share) * budget.memory_fraction);
    const std::size_t left = share > fixed ? share - fixed : 0;
    plan.num_blocks = std::min(static_cast<std::int64_t>(left / plan.block_bytes), needs.most_useful_blocks);
  }
  if (fixed > share) {
    return Error{fmt::format("the model does not fit: weights {} and workspace {} are {} more than the {} this rank may use",
                             human(plan.weights_bytes), human(plan.workspace_bytes), human(fixed - share), human(share)),
                 flag};
  }
  const auto blocks_that_fit = static_cast<std::int64_t>(share > fixed ? (share - fixed) / plan.block_bytes : 0);
  if (plan.num_blocks < 1 && blocks_that_fit > 0) {
    return Error{fmt::format("--{} leaves no KV block of {}", flag, human(plan.block_bytes)), flag};
  }
  if (plan.num_blocks < 1 || plan.num_blocks > blocks_that_fit) {
    return Error{fmt::format("--{} does not fit: weights {} and workspace {} leave room for {} KV blocks of {} in {}",
                             flag, human(plan.weights_bytes), human(plan.workspace_bytes), blocks_that_fit,
                             human(plan.block_bytes), human(share)),
                 flag};
  }
  return plan;
}

Result<KvCache> KvCache::create(Backend& backend, const ModelConfig& config, const Partition& part, DType dtype,
                                std::int64_t num_blocks) {
  KvCache cache;
  const std::size_t half_layer_bytes = kv_block_bytes(config, part, dtype) * static_cast<std::size_t>(num_blocks) /
                                       static_cast<std::size_t>(2 * config.num_layers);
  const auto add = [&](Tensor& tensor) -> Result<void> {
    Result<Buffer> buffer = backend.allocate(half_layer_bytes);
    if (!buffer) return buffer.error();
    tensor = buffer.value().tensor(dtype, {num_blocks, kBlockSize, part.kv_heads.count, config.head_dim});
    cache.buffers_.push_back(std::move(buffer).value());
    return {};
  };
  cache.num_blocks_ = num_blocks;
  cache.layers_.resize(static_cast<std::size_t>(config.num_layers));
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
