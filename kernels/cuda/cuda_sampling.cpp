// Sampling of the CUDA device: the host packs what the rows ask for, one kernel draws, and one copy to pinned memory
// brings tokens and log-probabilities back. Rows with so many edits that they do not fit together go in several runs.
#include <algorithm>
#include <cstring>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/sampling.h"
#include "kernels/expect.h"

namespace caudal::cuda {
namespace {

constexpr std::int64_t kEditsPerRow = 64;  // room for a biased or penalised row of usual length

// One after another in one buffer: what goes to the device, then what comes back.
struct Layout {
  std::size_t rows = 0, edits = 0, results = 0, end = 0;
  std::int64_t num_rows, columns;  // columns of the log-probabilities

  Layout(std::int64_t row_count, std::int64_t num_edits, std::int64_t max_logprobs)
      : num_rows(row_count), columns(1 + max_logprobs) {
    edits = Arena::rounded(static_cast<std::size_t>(num_rows) * sizeof(SampleRow));
    results = edits + Arena::rounded(static_cast<std::size_t>(num_edits) * sizeof(LogitEdit));
    end = results + Arena::rounded(result_bytes());
  }
  // tokens, valid, then tokens and values of the log-probabilities: all of 4 bytes.
  std::size_t result_bytes() const { return static_cast<std::size_t>(num_rows * (2 + 2 * columns)) * sizeof(std::int32_t); }
  std::size_t result_offset(std::int64_t per_row) const {
    return results + static_cast<std::size_t>(num_rows * per_row) * sizeof(std::int32_t);
  }
};

std::int64_t edit_capacity(std::int64_t num_rows, std::int64_t vocab_size) {
  return std::max(vocab_size, kEditsPerRow * num_rows);  // a row never has more edits than tokens
}

}  // namespace

std::size_t CudaBackend::sampling_bytes(const StepSizes& sizes) const {
  return Layout(sizes.max_sequences, edit_capacity(sizes.max_sequences, sizes.vocab_size), kMaxLogprobs).end;
}

void CudaBackend::prepare_sampling(const StepSizes& sizes) { grow(sampling_, sampling_bytes(sizes)); }

void CudaBackend::sample(const Tensor& logits, std::int64_t vocab_size, std::span<const SamplingRow> rows,
                         std::span<SamplingOutput> out) {
  Dim num_rows("num_rows", std::ssize(rows)), columns("columns");
  Expect expect("sample");
  expect.shape("logits", logits, {num_rows, columns}).dtype("logits", logits, DType::kF32);
  expect.that(vocab_size > 0 && vocab_size <= *columns, "vocab_size must be in [1, columns]");
  expect.that(rows.size() == out.size(), "out must have one entry per row");
  const std::int64_t capacity = edit_capacity(*num_rows, vocab_size);
  for (std::size_t begin = 0; begin < rows.size() && ready();) {
    std::size_t count = rows.size() - begin;
    PackedSampling packed = pack_sampling(rows.subspan(begin, count), vocab_size);
    while (std::ssize(packed.edits) > capacity && count > 1) {  // extraordinary penalties
      count = (count + 1) / 2;
      packed = pack_sampling(rows.subspan(begin, count), vocab_size);
    }
    const Tensor part = logits.rows(static_cast<std::int64_t>(begin), static_cast<std::int64_t>(count));
    draw(part, vocab_size, packed, rows.subspan(begin, count), out.subspan(begin, count));
    begin += count;
  }
}

void CudaBackend::draw(const Tensor& logits, std::int64_t vocab_size, const PackedSampling& packed,
                       std::span<const SamplingRow> rows, std::span<SamplingOutput> out) {
  const std::int64_t n = logits.dim(0);
  const Layout layout(n, std::ssize(packed.edits), packed.max_logprobs);
  if (!grow(sampling_, layout.end)) return;
  auto* memory = static_cast<std::byte*>(sampling_.data());
  const auto upload = [&](std::size_t offset, const auto& values) {
    const auto bytes = static_cast<std::int64_t>(values.size() * sizeof values[0]);
    copy_to_device(values.data(), Tensor(memory + offset, DType::kI32, {bytes / 4}));
  };
  upload(layout.rows, packed.rows);
  if (!packed.edits.empty()) upload(layout.edits, packed.edits);
  const auto result = [&](std::int64_t per_row) { return memory + layout.result_offset(per_row); };
  const bool logprobs = packed.max_logprobs >= 0;
  const SampleArgs args{
      .logits = logits,
      .vocab_size = vocab_size,
      .rows = reinterpret_cast<const SampleRow*>(memory + layout.rows),
      .edits = reinterpret_cast<LogitEdit*>(memory + layout.edits),
      .tokens = Tensor(result(0), DType::kI32, {n}),
      .valid = Tensor(result(1), DType::kI32, {n}),
      .logprob_tokens = logprobs ? Tensor(result(2), DType::kI32, {n, layout.columns}) : Tensor(),
      .logprobs = logprobs ? Tensor(result(2 + layout.columns), DType::kF32, {n, layout.columns}) : Tensor()};
  run([&](cudaStream_t stream) { cuda::sample(args, stream); });
  std::byte* host = context_->results(layout.result_bytes());
  if (!ready()) return;
  context_->check(cudaMemcpyAsync(host, result(0), layout.result_bytes(), cudaMemcpyDefault, context_->stream()),
                  "copying sampled tokens");
  synchronize();
  if (!ready()) return;
  const auto* tokens = reinterpret_cast<const std::int32_t*>(host);
  const SampledArrays arrays{.tokens = tokens,
                             .valid = tokens + n,
                             .logprob_tokens = logprobs ? tokens + 2 * n : nullptr,
                             .logprobs = logprobs ? reinterpret_cast<const float*>(tokens + (2 + layout.columns) * n) : nullptr,
                             .max_logprobs = packed.max_logprobs};
  unpack_sampling(arrays, rows, out);
}

}  // namespace caudal::cuda
