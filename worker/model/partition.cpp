#include "worker/model/partition.h"

#include <fmt/format.h>

#include <vector>

namespace caudal {
namespace {

bool can_split(const ModelConfig& config, std::int64_t size) {
  return config.num_heads % size == 0 && (config.num_kv_heads % size == 0 || size % config.num_kv_heads == 0);
}

std::string possible_sizes(const ModelConfig& config) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = 1; size <= config.num_heads; ++size)
    if (can_split(config, size)) sizes.push_back(size);
  return fmt::format("{}", fmt::join(sizes, ", "));
}

Range rounded_up_part(std::int64_t whole, int rank, int size) {
  const std::int64_t count = (whole + size - 1) / size;
  return {rank * count, count};
}

}  // namespace

Result<Partition> make_partition(const ModelConfig& config, int rank, int size) {
  if (size < 1 || !can_split(config, size)) {
    return Error{fmt::format("tensor parallelism of {} cannot split {} heads with {} KV heads; possible are {}", size,
                             config.num_heads, config.num_kv_heads, possible_sizes(config)),
                 "tensor-parallel"};
  }
  Partition part;
  part.rank = rank;
  part.size = size;
  const std::int64_t heads = config.num_heads / size;
  part.heads = {rank * heads, heads};
  if (size <= config.num_kv_heads) {
    const std::int64_t kv_heads = config.num_kv_heads / size;
    part.kv_heads = {rank * kv_heads, kv_heads};
  } else {
    part.kv_heads = {rank / (size / config.num_kv_heads), 1};
  }
  part.intermediate = rounded_up_part(config.intermediate_size, rank, size);
  part.vocabulary = rounded_up_part(config.vocab_size, rank, size);
  return part;
}

}  // namespace caudal
