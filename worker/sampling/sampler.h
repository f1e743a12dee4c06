// Sampler: from logits to one token per sequence, known to all ranks. Rank 0 draws, because only one rank may
// decide, and the others are told from device to device. Owned by the runner, used by the step thread.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "kernels/comm/communicator.h"
#include "worker/batch/sequence_table.h"

namespace caudal {

// A token to be drawn: what follows the sequence's tokens and then `drafts`.
struct Draw {
  const SequenceRow* sequence = nullptr;
  std::span<const TokenId> drafts = {};
};

class Sampler {
 public:
  static std::size_t device_bytes(std::int64_t max_rows) {
    return static_cast<std::size_t>(max_rows) * sizeof(TokenId);
  }
  static Result<std::unique_ptr<Sampler>> create(Backend& backend, Communicator& group, std::int64_t vocab_size,
                                                 std::int64_t max_rows);

  // logits f32 [num_rows, >= vocab_size], row i for draws[i]. On ranks other than 0 the result has tokens but no
  // log-probabilities. Without draws it tells when the device is done.
  std::unique_ptr<PendingSamples> draw(const Tensor& logits, std::span<const Draw> draws);

  // draw(), and the wait for it.
  std::vector<SamplingOutput> sample(const Tensor& logits, std::span<const Draw> draws);

  // i32 [max_rows] on the device of every rank: row i has what the latest draws[i] gave.
  const Tensor& drawn() const { return drawn_; }

 private:
  Sampler(Backend& backend, Communicator& group, std::int64_t vocab_size, Buffer memory, Tensor drawn)
      : backend_(backend), group_(group), vocab_size_(vocab_size), memory_(std::move(memory)), drawn_(drawn) {}
  SamplingRow row_of(const Draw& draw);

  Backend& backend_;
  Communicator& group_;
  std::int64_t vocab_size_;
  Buffer memory_;
  Tensor drawn_;
  std::vector<SamplingRow> rows_;
  std::deque<TokenCounts> counts_;           // of draws behind drafts
  std::deque<std::vector<TokenId>> banned_;  // of draws with bad words
};

}  // namespace caudal
