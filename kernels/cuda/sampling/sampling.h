// Sampling on the device: one block per row of logits, from edits to log-probabilities, with no round trip to the
// host. kernels/cpu/sampling/sample.cpp is the specification; the sampled tokens are its, but for numbers that fall on
// a step. The host packs what the rows ask for (sampling_pack.h), copies it to the device and launches; tokens stay on
// the device for the next step's embedding.
#pragma once

#include <driver_types.h>

#include "kernels/cuda/sampling/sampling_pack.h"
#include "kernels/tensor.h"

namespace caudal::cuda {

struct SampleArgs {
  Tensor logits;  // f32 [num_rows, >= vocab_size]; edited and restored
  std::int64_t vocab_size = 0;
  const SampleRow* rows = nullptr;         // on the device, [num_rows]
  LogitEdit* edits = nullptr;              // on the device
  const std::uint32_t* allowed = nullptr;  // on the device: see PackedSampling
  Tensor tokens;                           // i32 [num_rows]: -1 when the row held NaN or every token was masked
  // i32 [num_rows, 1 + n] or empty: the sampled one, then the most likely, then the named ones, which are read.
  Tensor logprob_tokens;
  Tensor logprobs;  // f32, the same shape; columns past those of a row are not written
};
void sample(const SampleArgs& args, cudaStream_t stream);

}  // namespace caudal::cuda
