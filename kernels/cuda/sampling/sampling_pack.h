// The host's side of sampling on a device: what rows ask for as plain arrays, and results back from arrays. No CUDA
// here; used by the owner of the stream.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/sampling.h"

namespace caudal::cuda {

// What one row asks for, as the kernel reads it.
struct SampleRow {
  std::uint64_t seed = 0;
  std::int64_t position = 0;
  float temperature = 1.0F;  // 0 = greedy
  float top_p = 1.0F, min_p = 0.0F;
  std::int32_t top_k = 0;
  std::int32_t first_edit = 0, num_edits = 0;  // in the array of edits
  std::int32_t num_logprobs = -1;
  std::int32_t first_allowed = -1;  // the row's first word in the array of allowed tokens; -1: all are allowed
  std::int32_t num_named = 0;       // behind those columns
};

// All that happens to one logit, at most one edit per token of a row: + bias, or -inf when banned; then divided by
// `repetition` when positive, else multiplied; then - frequency - presence.
struct LogitEdit {
  std::int32_t token = 0, banned = 0;
  float bias = 0.0F, repetition = 1.0F, frequency = 0.0F, presence = 0.0F;
  float original = 0.0F;  // scratch of the kernel: the row is restored from here
};

// Of one row, those that it names among them. Rows that ask for more are wide: the host chooses (wide_logprobs).
constexpr int kMaxLogprobs = 64;
static_assert(kMaxLogprobs >= kMaxCandidates, "beams ask for their candidates as log-probabilities");

constexpr std::int64_t allowed_words(std::int64_t vocab_size) { return (vocab_size + 31) / 32; }

struct PackedSampling {
  std::vector<SampleRow> rows;
  std::vector<LogitEdit> edits;
  std::vector<std::uint32_t> allowed;  // a bit per token, allowed_words(vocab_size) words per row that has some
  std::int32_t max_logprobs = -1;      // of all rows: what the columns of `logprobs` must hold, less one
  std::vector<std::int32_t> columns;   // [num_rows, 1 + max_logprobs], the named tokens in theirs; or empty
};
PackedSampling pack_sampling(std::span<const SamplingRow> rows, std::int64_t vocab_size);

inline bool is_wide(const SamplingRow& row) {
  return row.params->num_logprobs >= 0 &&
         row.params->num_logprobs + std::ssize(row.logprob_tokens) > std::ptrdiff_t{kMaxLogprobs};
}
// Of a wide row of logits [vocab_size] without edits: the most likely tokens, then the named ones. Empty when the row
// holds NaN or +inf.
std::vector<TokenLogprob> wide_logprobs(std::span<const float> logits, const SamplingRow& row);

// What the kernel wrote, copied to the host; the last two [num_rows, 1 + max_logprobs], or null without logprobs.
struct SampledArrays {
  const std::int32_t *tokens = nullptr, *logprob_tokens = nullptr;
  const float* logprobs = nullptr;
  std::int32_t max_logprobs = -1;
};
// `rows` are those that were packed.
void unpack_sampling(const SampledArrays& arrays, std::span<const SampleRow> rows, std::span<SamplingOutput> out);

}  // namespace caudal::cuda
