// Sampling of the CUDA device: the host packs what the rows ask for, one kernel samples, and one copy to pinned memory
// brings tokens and log-probabilities back while the host goes on. Rows with so many edits that they do not fit
// together go in several runs. Rows of more log-probabilities than the kernel gives come to the host whole, one after
// the other, and it waits for them.
#include <algorithm>
#include <cstring>

#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/cuda/sampling/sampling.h"

namespace caudal::cuda {
namespace {

constexpr std::size_t kPendingAtOnce = 3;  // of two steps in flight, and a draft model's

// Tokens and log-probabilities on their way to the host. All its runs are over when the last is.
class CudaSamples final : public PendingSamples {
 public:
  CudaSamples(CudaContext& context, CudaContext::ResultsPtr results)
      : context_(context), results_(std::move(results)) {}

  // The results of these rows begin `offset` bytes into the pinned memory.
  void add(std::size_t offset, PackedSampling run) { runs_.push_back({offset, std::move(run.rows), run.max_logprobs}); }
  // What wide_logprobs() says of the row.
  void add_wide(std::size_t row, std::vector<TokenLogprob> logprobs) { wide_.emplace_back(row, std::move(logprobs)); }
  void mark_end() { context_.check(cudaEventRecord(results_->ready, context_.stream()), "recording an event"); }
  std::byte* memory() const { return results_->memory; }

  bool ready() override { return context_.done(results_->ready); }
  void wait(std::span<SamplingOutput> out) override {
    context_.wait(results_->ready);
    if (context_.failure()) return;
    const std::span<SamplingOutput> all = out;
    for (const Run& run : runs_) {
      const SamplingLayout layout(std::ssize(run.rows), 0, 0, run.max_logprobs);
      const auto* tokens = reinterpret_cast<const std::int32_t*>(results_->memory + run.offset);
      const std::int64_t n = layout.num_rows;
      const bool logprobs = run.max_logprobs >= 0;
      const SampledArrays arrays{
          .tokens = tokens,
          .logprob_tokens = logprobs ? tokens + n : nullptr,
          .logprobs = logprobs ? reinterpret_cast<const float*>(tokens + (1 + layout.columns) * n) : nullptr,
          .max_logprobs = run.max_logprobs};
      unpack_sampling(arrays, run.rows, out.first(run.rows.size()));
      out = out.subspan(run.rows.size());
    }
    for (const auto& [row, logprobs] : wide_) widen(all[row], logprobs);
  }

 private:
  // The kernel's own of the sampled token may differ in the last bit: one token has one log-probability.
  static void widen(SamplingOutput& output, std::span<const TokenLogprob> logprobs) {
    if (output.logprobs.empty()) return;
    const auto same = std::ranges::find(logprobs, output.token, &TokenLogprob::token);
    if (same != logprobs.end()) output.logprobs.front() = *same;
    output.logprobs.insert(output.logprobs.end(), logprobs.begin(), logprobs.end());
  }

  struct Run {
    std::size_t offset;
    std::vector<SampleRow> rows;
    std::int32_t max_logprobs;
  };

  CudaContext& context_;
  CudaContext::ResultsPtr results_;
  std::vector<Run> runs_;
  std::vector<std::pair<std::size_t, std::vector<TokenLogprob>>> wide_;
};

// What samples are when the device has failed.
class NoSamples final : public PendingSamples {
 public:
  bool ready() override { return true; }
  void wait(std::span<SamplingOutput>) override {}
};

}  // namespace

void CudaBackend::prepare_sampling(const StepSizes& sizes) {
  grow(sampling_, GpuMemory::sampling_bytes(sizes));
  context_->keep_results(kPendingAtOnce, SamplingLayout(sizes.max_sequences, 0, 0, kMaxLogprobs).result_bytes());
}

std::unique_ptr<PendingSamples> CudaBackend::sample(const Tensor& logits, std::int64_t vocab_size,
                                                    std::span<const SamplingRow> rows, const Tensor& tokens) {
  check_sample(logits, vocab_size, rows, tokens);
  const std::int64_t num_rows = std::ssize(rows);
  CudaContext::ResultsPtr results;
  if (ready()) results = context_->take_results(SamplingLayout(num_rows, 0, 0, kMaxLogprobs).result_bytes());
  if (!results) return std::make_unique<NoSamples>();
  auto samples = std::make_unique<CudaSamples>(*context_, std::move(results));
  const std::int64_t capacity = edit_capacity(num_rows, vocab_size);
  std::size_t offset = 0;
  for (std::size_t begin = 0; begin < rows.size() && ready();) {
    std::size_t count = rows.size() - begin;
    PackedSampling packed = pack_sampling(rows.subspan(begin, count), vocab_size);
    while (std::ssize(packed.edits) > capacity && count > 1) {  // extraordinary penalties
      count = (count + 1) / 2;
      packed = pack_sampling(rows.subspan(begin, count), vocab_size);
    }
    const auto first = static_cast<std::int64_t>(begin), n = static_cast<std::int64_t>(count);
    const Tensor part = tokens.empty() ? Tensor() : tokens.rows(first, n);
    const std::size_t bytes =
        queue_samples(logits.rows(first, n), vocab_size, packed, part, samples->memory() + offset);
    samples->add(offset, std::move(packed));
    offset += bytes;
    begin += count;
  }
  samples->mark_end();
  std::vector<float> row(vocab_size);
  for (std::size_t i = 0; i < rows.size() && ready(); ++i) {
    if (!is_wide(rows[i])) continue;
    const std::int64_t offset = static_cast<std::int64_t>(i) * logits.stride0();
    copy_to_host(Tensor(logits.as<float>() + offset, DType::kF32, {vocab_size}), row.data());
    synchronize();
    samples->add_wide(i, wide_logprobs(row, rows[i]));
  }
  return samples;
}

// One run: what the rows ask for goes to the device, the kernel, the results come back to `host`. Bytes of them.
std::size_t CudaBackend::queue_samples(const Tensor& logits, std::int64_t vocab_size, const PackedSampling& packed,
                                       const Tensor& tokens, std::byte* host) {
  const std::int64_t n = logits.dim(0);
  const SamplingLayout layout(n, std::ssize(packed.edits), std::ssize(packed.allowed), packed.max_logprobs);
  if (!grow(sampling_, layout.end)) return 0;
  auto* memory = static_cast<std::byte*>(sampling_.data());
  const auto upload = [&](std::size_t offset, const auto& values) {
    const auto bytes = static_cast<std::int64_t>(values.size() * sizeof values[0]);
    copy_to_device(values.data(), Tensor(memory + offset, DType::kI32, {bytes / 4}));
  };
  upload(layout.rows, packed.rows);
  if (!packed.edits.empty()) upload(layout.edits, packed.edits);
  if (!packed.allowed.empty()) upload(layout.allowed, packed.allowed);
  if (!packed.columns.empty()) upload(layout.result_offset(1), packed.columns);
  const auto result = [&](std::int64_t per_row) { return memory + layout.result_offset(per_row); };
  const bool logprobs = packed.max_logprobs >= 0;
  const SampleArgs args{
      .logits = logits,
      .vocab_size = vocab_size,
      .rows = reinterpret_cast<const SampleRow*>(memory + layout.rows),
      .edits = reinterpret_cast<LogitEdit*>(memory + layout.edits),
      .allowed = reinterpret_cast<const std::uint32_t*>(memory + layout.allowed),
      .tokens = Tensor(result(0), DType::kI32, {n}),
      .logprob_tokens = logprobs ? Tensor(result(1), DType::kI32, {n, layout.columns}) : Tensor(),
      .logprobs = logprobs ? Tensor(result(1 + layout.columns), DType::kF32, {n, layout.columns}) : Tensor()};
  run([&](cudaStream_t stream) { cuda::sample(args, stream); });
  const auto copy = [&](void* to, std::size_t bytes) {
    if (ready())
      context_->check(cudaMemcpyAsync(to, result(0), bytes, cudaMemcpyDefault, context_->stream()),
                      "copying sampled tokens");
  };
  if (!tokens.empty()) copy(tokens.data(), tokens.bytes());
  copy(host, layout.result_bytes());
  return layout.result_bytes();
}

std::unique_ptr<PendingSamples> CudaBackend::fetch_samples(const Tensor& tokens) {
  CudaContext::ResultsPtr results;
  if (ready()) results = context_->take_results(tokens.bytes());
  if (!results) return std::make_unique<NoSamples>();
  auto samples = std::make_unique<CudaSamples>(*context_, std::move(results));
  PackedSampling plain;
  plain.rows.resize(tokens.dim(0));
  if (tokens.bytes() > 0)
    context_->check(
        cudaMemcpyAsync(samples->memory(), tokens.data(), tokens.bytes(), cudaMemcpyDefault, context_->stream()),
        "copying sampled tokens");
  samples->add(0, std::move(plain));
  samples->mark_end();
  return samples;
}

}  // namespace caudal::cuda
