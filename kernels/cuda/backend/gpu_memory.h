// GpuMemory: what the CUDA backend takes of a GPU's memory. Arithmetic alone, so that a plan can be made for a GPU that
// is not there (planned_gpu.h). Knows nothing of CUDA; constant, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/attention/attention_plan.h"
#include "kernels/cuda/backend/arena.h"
#include "kernels/cuda/sampling/sampling_pack.h"
#include "kernels/device.h"
#include "kernels/linear.h"

namespace caudal::cuda {

// Rows of a deterministic matmul: few enough that decoding still waits for the weights, many enough that prefill reads
// them seldom.
inline constexpr std::int64_t kTileRows = 128;

// A buffer for sampling: what goes to the device, then what comes back.
struct SamplingLayout {
  std::size_t rows = 0, edits = 0, allowed = 0, results = 0, end = 0;  // offsets, in bytes
  std::int64_t num_rows, columns;                                      // columns of the log-probabilities

  // `num_allowed`: words of bits (see PackedSampling).
  SamplingLayout(std::int64_t row_count, std::int64_t num_edits, std::int64_t num_allowed, std::int64_t max_logprobs)
      : num_rows(row_count), columns(1 + max_logprobs) {
    edits = Arena::rounded(num_rows * sizeof(SampleRow));
    allowed = edits + Arena::rounded(num_edits * sizeof(LogitEdit));
    results = allowed + Arena::rounded(num_allowed * sizeof(std::uint32_t));
    end = results + Arena::rounded(result_bytes());
  }
  // tokens, then tokens and values of the log-probabilities: all of 4 bytes.
  std::size_t result_bytes() const { return num_rows * (1 + 2 * columns) * sizeof(std::int32_t); }
  std::size_t result_offset(std::int64_t per_row) const { return results + num_rows * per_row * sizeof(std::int32_t); }
};

// Room for the edits of `num_rows` rows of logits.
std::int64_t edit_capacity(std::int64_t num_rows, std::int64_t vocab_size);

AttentionShape shape_of(const HeadSizes& sizes);

// What the tensor-core kernels are made for; plain_attention takes the rest.
bool on_tensor_cores(const AttentionShape& shape);

class GpuMemory {
 public:
  GpuMemory(const AttentionDevice& device, bool deterministic) : device_(device), deterministic_(deterministic) {}

  // As Backend and Recorder say.
  static DeviceTraits traits();
  static std::size_t packed_bytes(const LinearShape& shape);
  std::size_t workspace_bytes(const StepSizes& sizes) const;
  std::int64_t max_recorded_tokens(const HeadSizes& heads) const;

  // Parts of the workspace.
  static std::size_t sampling_bytes(const StepSizes& sizes);
  std::size_t recording_bytes(const StepSizes& sizes) const;  // taken by the driver

  AttentionGeometry geometry(const AttentionShape& shape) const;

 private:
  std::size_t attention_bytes(const StepSizes& sizes) const;

  AttentionDevice device_;
  bool deterministic_;
};

}  // namespace caudal::cuda
