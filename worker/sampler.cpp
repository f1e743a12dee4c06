#include "worker/sampler.h"

namespace caudal {
namespace {

SamplingRow row_of(const Sequence& sequence) {
  SamplingRow row;
  row.params = &sequence.sampling;
  row.position = sequence.num_tokens();
  row.counts = sequence.counts.all();
  if (sequence.num_output_tokens() < sequence.stop.min_tokens) row.banned = sequence.stop.stop_token_ids;
  return row;
}

}  // namespace

Result<std::unique_ptr<Sampler>> Sampler::create(Backend& backend, Communicator& group, std::int64_t vocab_size,
                                                 std::int64_t max_rows) {
  Result<Buffer> tokens = backend.allocate(device_bytes(max_rows));
  if (!tokens) return tokens.error();
  return std::unique_ptr<Sampler>(new Sampler(backend, group, vocab_size, std::move(tokens).value()));
}

std::span<const SamplingOutput> Sampler::sample(const Tensor& logits, std::span<const Sequence* const> sequences) {
  outputs_.assign(sequences.size(), {});
  if (sequences.empty()) return outputs_;
  if (group_.rank() == 0) {
    rows_.clear();
    for (const Sequence* sequence : sequences) rows_.push_back(row_of(*sequence));
    backend_.sample(logits, vocab_size_, rows_, outputs_);
  }
  if (group_.size() > 1) share_tokens();
  return outputs_;
}

void Sampler::share_tokens() {
  host_tokens_.clear();
  for (const SamplingOutput& output : outputs_) host_tokens_.push_back(output.valid ? output.token : -1);
  const Tensor tokens = device_tokens_.tensor(DType::kI32, {static_cast<std::int64_t>(outputs_.size())});
  if (group_.rank() == 0) backend_.copy_to_device(host_tokens_.data(), tokens);
  backend_.synchronize();
  group_.broadcast(tokens, 0);
  if (group_.rank() == 0) return;
  backend_.copy_to_host(tokens, host_tokens_.data());
  backend_.synchronize();
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    outputs_[i].token = host_tokens_[i];
    outputs_[i].valid = host_tokens_[i] >= 0;
  }
}

}  // namespace caudal
