#include "worker/sampling/sampler.h"

#include <utility>

namespace caudal {

Result<std::unique_ptr<Sampler>> Sampler::create(Backend& backend, Communicator& group, std::int64_t vocab_size,
                                                 std::int64_t max_rows, std::shared_ptr<Grammars> grammars) {
  Result<Buffer> memory = backend.allocate(device_bytes(max_rows));
  if (!memory) return memory.error();
  const Tensor sampled = memory.value().tensor(DType::kI32, {max_rows});
  return std::unique_ptr<Sampler>(
      new Sampler(backend, group, vocab_size, std::move(grammars), std::move(memory).value(), sampled));
}

// As it would be if the drafts were the sequence's own.
SamplingRow Sampler::row_of(const SampleTask& task) {
  const SequenceRow& sequence = *task.sequence;
  const auto num_drafts = static_cast<std::int32_t>(task.drafts.size());
  SamplingRow row;
  row.params = &sequence.params.sampling;
  row.position = sequence.num_tokens() + num_drafts;
  row.logprob_tokens = sequence.params.sampling.logprob_token_ids;
  row.counts = sequence.counts.all();
  if (num_drafts > 0 && sequence.params.sampling.has_penalties()) {
    TokenCounts& counts = counts_.emplace_back(sequence.counts);
    for (TokenId token : task.drafts) counts.add_output(token);
    row.counts = counts.all();
  }
  allowed_.fill(sequence, task.drafts, row);
  return row;
}

std::unique_ptr<PendingSamples> Sampler::start(const Tensor& logits, std::span<const SampleTask> tasks) {
  const Tensor tokens = sampled_.rows(0, std::ssize(tasks));
  if (tasks.empty()) return backend_.fetch_samples(tokens);
  std::unique_ptr<PendingSamples> pending;
  if (group_.rank() == 0) {
    rows_.clear();
    counts_.clear();
    allowed_.clear();
    for (const SampleTask& task : tasks) rows_.push_back(row_of(task));
    pending = backend_.sample(logits, vocab_size_, rows_, tokens);
  }
  if (group_.size() > 1) group_.broadcast(tokens, 0);
  return pending ? std::move(pending) : backend_.fetch_samples(tokens);
}

std::unique_ptr<PendingSamples> Sampler::score(const Tensor& logits, std::span<const ScoreTask> tasks) {
  if (group_.rank() != 0) return nullptr;
  rows_.clear();
  scoring_.clear();
  scoring_.reserve(tasks.size());  // rows point at them
  const SequenceRow* sequence = nullptr;
  for (const ScoreTask& task : tasks) {
    if (std::exchange(sequence, task.sequence) != task.sequence) {
      SamplingParams& params = scoring_.emplace_back();
      params.temperature = 0.0F;
      params.num_logprobs = sequence->params.num_prompt_logprobs;
    }
    SamplingRow& row = rows_.emplace_back();
    row.params = &scoring_.back();
    row.position = task.position;
    row.logprob_tokens = std::span(sequence->tokens).subspan(task.position, 1);
  }
  return backend_.sample(logits, vocab_size_, rows_, {});
}

std::vector<SamplingOutput> Sampler::sample(const Tensor& logits, std::span<const SampleTask> tasks) {
  std::vector<SamplingOutput> outputs(tasks.size());
  if (!tasks.empty()) start(logits, tasks)->wait(outputs);
  return outputs;
}

}  // namespace caudal
