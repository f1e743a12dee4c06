// Sampler: from logits to one token per sequence, known to all ranks. Rank 0 draws, because only one rank may
// decide, and the others are told. Owned by the runner, used by the step thread.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "worker/comm/communicator.h"
#include "worker/sequence_table.h"

namespace caudal {

class Sampler {
 public:
  static std::size_t device_bytes(std::int64_t max_rows) { return static_cast<std::size_t>(max_rows) * sizeof(TokenId); }
  static Result<std::unique_ptr<Sampler>> create(Backend& backend, Communicator& group, std::int64_t vocab_size,
                                                 std::int64_t max_rows);

  // logits f32 [num_rows, >= vocab_size], row i for sequences[i]. The result lives until the next call; on
  // ranks other than 0 it has tokens but no log-probabilities.
  std::span<const SamplingOutput> sample(const Tensor& logits, std::span<const Sequence* const> sequences);

 private:
  Sampler(Backend& backend, Communicator& group, std::int64_t vocab_size, Buffer tokens)
      : backend_(backend), group_(group), vocab_size_(vocab_size), device_tokens_(std::move(tokens)) {}
  void share_tokens();

  Backend& backend_;
  Communicator& group_;
  std::int64_t vocab_size_;
  Buffer device_tokens_;                 // i32 [max_rows], what rank 0 tells; -1 = nothing could be drawn
  std::vector<TokenId> host_tokens_;
  std::vector<SamplingRow> rows_;
  std::vector<SamplingOutput> outputs_;
};

}  // namespace caudal
