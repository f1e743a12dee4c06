#include "worker/model/partition.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace caudal {
namespace {

bool can_split(const LayerConfig& layer, std::int64_t size) {
  return layer.num_heads % size == 0 && (layer.num_kv_heads % size == 0 || size % layer.num_kv_heads == 0);
}

LayerPart cut_layer(const LayerConfig& layer, int rank, int size) {
  const std::int64_t heads = layer.num_heads / size;
  LayerPart part{.heads = {rank * heads, heads}, .kv_heads = {}};
  if (size <= layer.num_kv_heads) {
    const std::int64_t kv_heads = layer.num_kv_heads / size;
    part.kv_heads = {rank * kv_heads, kv_heads};
  } else {
    part.kv_heads = {rank / (size / layer.num_kv_heads), 1};
  }
  return part;
}

std::string possible_sizes(const ModelConfig& config) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = 1; size <= config.layers.front().num_heads; ++size) {
    const auto splits = [size](const LayerConfig& layer) { return can_split(layer, size); };
    if (std::ranges::all_of(config.layers, splits)) sizes.push_back(size);
  }
  return fmt::format("{}", fmt::join(sizes, ", "));
}

Range rounded_up_part(std::int64_t whole, int rank, int size) {
  const std::int64_t count = (whole + size - 1) / size;
  return {rank * count, count};
}

}  // namespace

Result<Partition> make_partition(const ModelConfig& config, int rank, int size) {
  Partition part;
  for (const LayerConfig& layer : config.layers) {
    if (size < 1 || !can_split(layer, size)) {
      return Error{fmt::format("tensor parallelism of {} cannot split {} heads with {} KV heads; possible are {}", size,
                               layer.num_heads, layer.num_kv_heads, possible_sizes(config)),
                   "tensor-parallel"};
    }
    part.layers.push_back(cut_layer(layer, rank, size));
  }
  part.rank = rank;
  part.size = size;
  part.intermediate = rounded_up_part(config.intermediate_size, rank, size);
  part.vocabulary = rounded_up_part(config.vocab_size, rank, size);
  return part;
}

}  // namespace caudal
