// Sampler: from logits to one token per sequence, known to all ranks. Rank 0 samples, because only one rank may
// decide, and the others are told from device to device. Owned by the runner, used by the step thread.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/comm/communicator.h"
#include "worker/batch/sequence_table.h"
#include "worker/sampling/allowed_tokens.h"

namespace caudal {

// A token to be sampled: what follows the sequence's tokens and then `drafts`.
struct SampleTask {
  const SequenceRow* sequence = nullptr;
  std::span<const TokenId> drafts = {};
};

// The token of a sequence at this position, which follows what a row of logits is of.
struct ScoreTask {
  const SequenceRow* sequence = nullptr;
  std::int32_t position = 0;
};

class Sampler {
 public:
  static std::size_t device_bytes(std::int64_t max_rows) { return max_rows * sizeof(TokenId); }
  // `grammars`: of the sequences that have some; may be null where none has.
  static Result<std::unique_ptr<Sampler>> create(Backend& backend, Communicator& group, std::int64_t vocab_size,
                                                 std::int64_t max_rows, std::shared_ptr<Grammars> grammars = nullptr);

  // logits f32 [num_rows, >= vocab_size], row i for tasks[i]. On ranks other than 0 the result has tokens but no
  // log-probabilities. Without tasks it tells when the device is done.
  std::unique_ptr<PendingSamples> start(const Tensor& logits, std::span<const SampleTask> tasks);

  // How likely known tokens of prompts were, as many of the most likely beside each as its sequence asks for. logits
  // f32 [num_rows, >= vocab_size], row i for tasks[i]. On rank 0; null on others.
  std::unique_ptr<PendingSamples> score(const Tensor& logits, std::span<const ScoreTask> tasks);

  // start(), and the wait for it.
  std::vector<SamplingOutput> sample(const Tensor& logits, std::span<const SampleTask> tasks);

  // i32 [max_rows] on the device of every rank: row i has the token of the latest tasks[i].
  const Tensor& sampled() const { return sampled_; }

 private:
  Sampler(Backend& backend, Communicator& group, std::int64_t vocab_size, std::shared_ptr<Grammars> grammars,
          Buffer memory, Tensor sampled)
      : backend_(backend),
        group_(group),
        vocab_size_(vocab_size),
        allowed_(vocab_size, std::move(grammars)),
        memory_(std::move(memory)),
        sampled_(sampled) {}
  SamplingRow row_of(const SampleTask& task);

  Backend& backend_;
  Communicator& group_;
  std::int64_t vocab_size_;
  AllowedTokens allowed_;
  Buffer memory_;
  Tensor sampled_;
  std::vector<SamplingRow> rows_;
  std::vector<SamplingParams> scoring_;  // of the rows of score()
  std::deque<TokenCounts> counts_;       // of tasks behind drafts
};

}  // namespace caudal
