#include "worker/sampling/pending_scores.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace caudal {
namespace {

// A row was sampled greedily: that token is in front, the prompt's own behind all.
TokenScores scores_of(SamplingOutput output) {
  if (!output.valid) return {};
  output.logprobs.front() = output.logprobs.back();
  output.logprobs.pop_back();
  return std::move(output.logprobs);
}

}  // namespace

void PendingScores::add(std::unique_ptr<PendingSamples> piece, std::size_t num_rows) {
  pieces_.push_back({std::move(piece), num_rows});
}

std::vector<TokenScores> PendingScores::wait() {
  std::vector<TokenScores> scores;
  for (const Piece& piece : std::exchange(pieces_, {})) {
    std::vector<SamplingOutput> outputs(piece.num_rows);
    if (piece.pending) {
      piece.pending->wait(outputs);
    } else {
      for (SamplingOutput& output : outputs) output.valid = false;
    }
    for (SamplingOutput& output : outputs) scores.push_back(scores_of(std::move(output)));
  }
  return scores;
}

std::vector<TokenScores> usable_scores(std::span<TokenScores> scores) {
  const auto unusable = std::find_if(scores.rbegin(), scores.rend(), [](const auto& one) { return one.empty(); });
  return {std::make_move_iterator(unusable.base()), std::make_move_iterator(scores.end())};
}

}  // namespace caudal
