#include "kernels/cuda/backend/gpu_memory.h"

#include <algorithm>
#include <limits>

namespace caudal::cuda {
namespace {

// What rounding small buffers up to the unit of the arena may take.
constexpr std::size_t kSmallBuffers = std::size_t{1} << 20;

constexpr std::int64_t kEditsPerRow = 64;  // room for a biased or penalised row of usual length

// What a driver takes for one op of a graph, at the most: its nodes, their parameters, and what launches them.
constexpr std::size_t kBytesPerRecordedOp = std::size_t{16} << 10;

std::size_t tile_bytes(const StepSizes& sizes) {
  return Arena::rounded(kTileRows * sizes.row_in_bytes) + Arena::rounded(kTileRows * sizes.row_out_bytes);
}

// The attention for which every step has a plan, each kind once.
std::vector<HeadSizes> planned_heads(const StepSizes& sizes) {
  std::vector<HeadSizes> planned;
  for (const HeadSizes& heads : sizes.heads) {
    const bool is_known = std::ranges::find(planned, heads) != planned.end();
    if (on_tensor_cores(shape_of(heads)) && !is_known) planned.push_back(heads);
  }
  return planned;
}

}  // namespace

std::int64_t edit_capacity(std::int64_t num_rows, std::int64_t vocab_size) {
  return std::max(vocab_size, kEditsPerRow * num_rows);  // a row never has more edits than tokens
}

AttentionShape shape_of(const HeadSizes& sizes) {
  return {.num_heads = static_cast<int>(sizes.num_heads),
          .num_kv_heads = static_cast<int>(sizes.num_kv_heads),
          .head_dim = static_cast<int>(sizes.head_dim),
          .dtype = sizes.dtype};
}

bool on_tensor_cores(const AttentionShape& shape) {
  if (shape.dtype != DType::kBF16 && shape.dtype != DType::kF16) return false;
  for (const int head_dim : {64, 80, 96, 128, 256})
    if (shape.head_dim == head_dim) return true;
  return false;
}

DeviceTraits GpuMemory::traits() {
  return {.is_host = false, .queues = true, .keys_before_window = kMaxKeyTile, .allocation_unit = Arena::kAlignment};
}

// The matrix, and a bias in the dtypes of both results.
std::size_t GpuMemory::packed_bytes(const LinearShape& shape) {
  const auto rows = static_cast<std::size_t>(shape.out_features()),
             columns = static_cast<std::size_t>(shape.in_features);
  const std::size_t element = dtype_bytes(shape.dtype);
  return Arena::rounded(rows * columns * element) + Arena::rounded(rows * element) +
         Arena::rounded(rows * sizeof(float));
}

std::size_t GpuMemory::workspace_bytes(const StepSizes& sizes) const {
  return kSmallBuffers + attention_bytes(sizes) + sampling_bytes(sizes) + recording_bytes(sizes) +
         (deterministic_ ? tile_bytes(sizes) : 0);
}

std::int64_t GpuMemory::max_recorded_tokens(const HeadSizes& heads) const {
  const AttentionShape shape = shape_of(heads);
  if (!on_tensor_cores(shape)) return std::numeric_limits<int>::max();
  const AttentionGeometry found = geometry(shape);
  return found.whole_rows ? std::numeric_limits<int>::max() : found.decode_max_pairs / found.group();
}

std::size_t GpuMemory::sampling_bytes(const StepSizes& sizes) {
  const std::int64_t rows = sizes.max_sequences;
  return SamplingLayout(rows, edit_capacity(rows, sizes.vocab_size), rows * allowed_words(sizes.vocab_size),
                        kMaxLogprobs)
      .end;
}

std::size_t GpuMemory::recording_bytes(const StepSizes& sizes) const {
  const std::size_t nodes_per_op = deterministic_ ? 3 : 1;  // matmuls go by tiles, the last of them through copies
  return static_cast<std::size_t>(sizes.recorded_ops) * nodes_per_op * kBytesPerRecordedOp;
}

AttentionGeometry GpuMemory::geometry(const AttentionShape& shape) const {
  return attention_geometry(shape, device_, deterministic_);
}

std::size_t GpuMemory::attention_bytes(const StepSizes& sizes) const {
  const std::vector<HeadSizes> planned = planned_heads(sizes);
  std::size_t workspace = 0, words = 0;
  for (const HeadSizes& heads : planned) {
    const AttentionGeometry found = geometry(shape_of(heads));
    workspace = std::max(workspace, attention_workspace_bytes(found));
    words = std::max(words, max_plan_words(found, sizes.max_sequences, sizes.max_tokens));
  }
  return Arena::rounded(workspace) + planned.size() * Arena::rounded(words * sizeof(std::int32_t));
}

}  // namespace caudal::cuda
