// Sampler: from logits to one token per sequence, known to all ranks. Rank 0 draws, because only one rank may
// decide, and the others are told. Owned by the runner, used by the step thread.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "worker/comm/host_exchange.h"
#include "worker/sequence_table.h"

namespace caudal {

// A token to be drawn: what follows the sequence's tokens and then `drafts`.
struct Draw {
  const SequenceRow* sequence = nullptr;
  std::span<const TokenId> drafts = {};
};

class Sampler {
 public:
  static std::size_t device_bytes(int ranks, std::int64_t max_rows) {
    return HostExchange::device_bytes(ranks, max_rows);
  }
  static Result<std::unique_ptr<Sampler>> create(Backend& backend, Communicator& group, std::int64_t vocab_size,
                                                 std::int64_t max_rows);

  // logits f32 [num_rows, >= vocab_size], row i for draws[i]. The result lives until the next call; on
  // ranks other than 0 it has tokens but no log-probabilities.
  std::span<const SamplingOutput> sample(const Tensor& logits, std::span<const Draw> draws);

 private:
  Sampler(Backend& backend, Communicator& group, std::int64_t vocab_size,
          std::unique_ptr<HostExchange> exchange)
      : backend_(backend), group_(group), vocab_size_(vocab_size), exchange_(std::move(exchange)) {}
  void share_tokens();
  SamplingRow row_of(const Draw& draw);

  Backend& backend_;
  Communicator& group_;
  std::int64_t vocab_size_;
  std::unique_ptr<HostExchange> exchange_;
  std::vector<TokenId> tokens_;  // what rank 0 tells; -1 = nothing could be drawn
  std::vector<SamplingRow> rows_;
  std::deque<TokenCounts> counts_;  // of draws behind drafts
  std::deque<std::vector<TokenId>> banned_;  // of draws with bad words
  std::vector<SamplingOutput> outputs_;
};

}  // namespace caudal
