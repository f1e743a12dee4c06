// Beam search as one would write it down: every continuation of every beam over the whole vocabulary, sorted. Knows
// nothing of candidates, places or parents; BeamSearch and all behind it have to find the same.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "common/types.h"
#include "coordinator/request/beam_params.h"

namespace caudal::sim {

struct ReferenceBeam {
  std::vector<TokenId> tokens;
  double sum = 0.0;
  double score = 0.0;
  FinishReason finish_reason = FinishReason::kNone;
};

// The log-probabilities of all tokens behind `tokens`; -infinity: banned.
using ReferenceModel = std::function<std::vector<float>(const std::vector<TokenId>& tokens)>;

// All hypotheses at the end, the best first.
inline std::vector<ReferenceBeam> reference_beams(const BeamParams& params, const std::vector<TokenId>& stops,
                                                  std::int32_t max_tokens, const ReferenceModel& model) {
  const auto width = static_cast<std::size_t>(params.width);
  const auto score = [&](double sum, std::int32_t length) {
    return sum / std::pow(double(length), params.length_penalty);
  };
  std::vector<ReferenceBeam> running{ReferenceBeam{}}, finished;
  for (std::int32_t length = 1;; ++length) {
    std::vector<ReferenceBeam> all;
    for (const ReferenceBeam& beam : running) {
      const std::vector<float> logprobs = model(beam.tokens);
      for (std::size_t token = 0; token < logprobs.size(); ++token) {
        if (std::isinf(logprobs[token])) continue;
        ReferenceBeam next{beam.tokens, beam.sum + static_cast<double>(logprobs[token])};
        next.tokens.push_back(static_cast<TokenId>(token));
        next.score = score(next.sum, length);
        const bool stops_here = std::ranges::count(stops, next.tokens.back()) > 0;
        next.finish_reason = stops_here             ? FinishReason::kStop
                             : length >= max_tokens ? FinishReason::kLength
                                                    : FinishReason::kNone;
        all.push_back(std::move(next));
      }
    }
    std::ranges::sort(
        all, [](const auto& a, const auto& b) { return a.sum != b.sum ? a.sum > b.sum : a.tokens < b.tokens; });
    running.clear();
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].finish_reason == FinishReason::kNone) {
        if (running.size() < width) running.push_back(all[i]);
      } else if (i < width) {
        finished.push_back(all[i]);
      }
    }
    std::ranges::stable_sort(finished, std::greater(), &ReferenceBeam::score);
    if (finished.size() > width) finished.resize(width);
    if (running.empty()) return finished;
    if (finished.size() < width) continue;
    const bool looks_far = params.early_stopping == EarlyStopping::kNever && params.length_penalty > 0;
    const bool hopeless = score(running.front().sum, looks_far ? max_tokens : length) <= finished.back().score;
    if (params.early_stopping == EarlyStopping::kYes || hopeless) return finished;
  }
}

}  // namespace caudal::sim
