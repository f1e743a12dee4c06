// The log-probabilities of a step's prompt tokens, on their way from the device in pieces of rows. Owned by the step;
// step thread.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/sampling.h"

namespace caudal {

using TokenScores = std::vector<TokenLogprob>;  // the prompt's own token, then the most likely ones

class PendingScores {
 public:
  // What Sampler::score() gave for so many rows; null where other ranks tell.
  void add(std::unique_ptr<PendingSamples> piece, std::size_t num_rows);

  // Of all rows in order, and then of none. Empty where the logits were unusable, and on ranks that do not tell.
  std::vector<TokenScores> wait();

 private:
  struct Piece {
    std::unique_ptr<PendingSamples> pending;
    std::size_t num_rows = 0;
  };
  std::vector<Piece> pieces_;
};

// Those behind the last unusable one, so that nobody takes the others for all.
std::vector<TokenScores> usable_scores(std::span<TokenScores> scores);

}  // namespace caudal
