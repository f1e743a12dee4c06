#include "coordinator/policy/beam_search.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/check.h"
#include "common/mutation.h"

namespace caudal {

std::int32_t num_candidates(const Request& request) {
  const auto num_needed = static_cast<std::int64_t>(request.beam->width) +
                          std::ssize(request.params.stop.stop_token_ids) +
                          std::ssize(request.params.sampling.bad_words);
  return static_cast<std::int32_t>(std::max<std::int64_t>(num_needed, request.params.sampling.num_logprobs));
}

BeamSearch::BeamSearch(const BeamParams& params, std::vector<TokenId> stop_token_ids, std::int32_t num_logprobs)
    : params_(params),
      stop_token_ids_(std::move(stop_token_ids)),
      num_logprobs_(num_logprobs),
      beams_(params.width),
      is_live_(params.width) {
  is_live_[0] = true;
}

std::vector<std::int32_t> BeamSearch::advance(std::span<const std::vector<TokenLogprob>> candidates,
                                              std::int32_t max_tokens) {
  const std::vector<Continuation> ranked = rank(candidates);
  const std::size_t width = params_.width;
  const auto num_tokens = static_cast<std::int32_t>(beams_[0].tokens.size()) + 1;
  std::vector<Continuation> chosen;
  for (std::size_t i = 0; i < ranked.size() && (i < width || chosen.size() < width); ++i) {
    const bool stops = is_stop(ranked[i].next.token);
    if (!stops) chosen.push_back(ranked[i]);
    if (MUTANT(stop_anywhere, i < width, true) && (stops || num_tokens >= max_tokens)) {
      keep(extended(ranked[i], candidates[ranked[i].position]), stops ? FinishReason::kStop : FinishReason::kLength);
    }
  }
  if (chosen.size() > width) chosen.resize(width);
  if (chosen.empty() || num_tokens >= max_tokens || is_over(chosen.front().sum, num_tokens, max_tokens)) chosen.clear();

  // Not within beams_ itself: several may come from one.
  std::vector<std::int32_t> positions = positions_for(chosen);
  std::vector<Beam> next(width);
  std::vector<std::int32_t> parents(width, kNone);
  is_live_.assign(width, false);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const std::size_t to = positions[i];
    next[to] = extended(chosen[i], candidates[chosen[i].position]);
    parents[to] = MUTANT(wrong_parent, chosen[i].position, chosen.front().position);
    is_live_[to] = true;
  }
  beams_ = std::move(next);
  return parents;
}

// The most likely first; of equals the one with the lower tokens, so that positions do not matter.
std::vector<BeamSearch::Continuation> BeamSearch::rank(std::span<const std::vector<TokenLogprob>> candidates) const {
  std::vector<Continuation> ranked;
  for (std::size_t position = 0; position < beams_.size(); ++position) {
    if (!is_live_[position]) continue;
    for (const TokenLogprob& next : candidates[position]) {
      ranked.push_back(
          {static_cast<std::int32_t>(position), next, beams_[position].sum + static_cast<double>(next.logprob)});
    }
  }
  std::ranges::sort(ranked, [&](const Continuation& a, const Continuation& b) {
    if (a.sum != b.sum) return a.sum > b.sum;
    if (a.position == b.position) return a.next.token < b.next.token;
    return beams_[a.position].tokens < beams_[b.position].tokens;
  });
  return ranked;
}

Beam BeamSearch::extended(const Continuation& continuation, std::span<const TokenLogprob> candidates) const {
  Beam beam = beams_[continuation.position];
  beam.tokens.push_back(continuation.next.token);
  beam.sum = continuation.sum;
  if (num_logprobs_ >= 0) {
    std::vector<TokenLogprob>& entries = beam.logprobs.emplace_back();
    entries.push_back(continuation.next);
    const auto top = candidates.first(std::min(candidates.size(), static_cast<std::size_t>(num_logprobs_)));
    entries.insert(entries.end(), top.begin(), top.end());
  }
  return beam;
}

// One that is no better than the worst of enough others is not kept.
void BeamSearch::keep(Beam beam, FinishReason reason) {
  Hypothesis added{std::move(beam), 0.0, reason};
  added.score =
      score(added.beam.sum, static_cast<std::int32_t>(added.beam.tokens.size()) - MUTANT(penalty_off_by_one, 0, 1));
  const auto worse = [&](const Hypothesis& other) { return other.score < added.score; };
  hypotheses_.insert(std::ranges::find_if(hypotheses_, worse), std::move(added));
  if (std::ssize(hypotheses_) > params_.width) hypotheses_.pop_back();
}

bool BeamSearch::is_stop(TokenId token) const {
  return std::ranges::find(stop_token_ids_, token) != stop_token_ids_.end();
}

// `best_sum` is the best running beam's, which has `num_tokens`.
bool BeamSearch::is_over(double best_sum, std::int32_t num_tokens, std::int32_t max_tokens) const {
  if (std::ssize(hypotheses_) < params_.width) return false;
  if (params_.early_stopping == EarlyStopping::kYes) return true;
  const bool longest = params_.early_stopping == EarlyStopping::kNever && params_.length_penalty > 0.0;
  return score(best_sum, longest ? max_tokens : num_tokens) <= hypotheses_.back().score;
}

double BeamSearch::score(double sum, std::int32_t num_tokens) const {
  return sum / std::pow(static_cast<double>(num_tokens), params_.length_penalty);
}

// The first beam that comes from a position stays there; the others take what is free, from the lowest on.
std::vector<std::int32_t> BeamSearch::positions_for(std::span<const Continuation> chosen) const {
  std::vector<std::int32_t> positions(chosen.size(), kNone);
  std::vector<bool> taken(beams_.size(), false);
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const std::size_t from = chosen[i].position;
    if (taken[from]) continue;
    taken[from] = true;
    positions[i] = chosen[i].position;
  }
  std::int32_t free = 0;
  for (std::int32_t& to : positions) {
    if (to != kNone) continue;
    while (taken[free]) ++free;
    taken[free] = true;
    to = free;
  }
  if (!positions.empty() && !taken[0]) positions.back() = 0;  // fewer than there were
  return positions;
}

std::vector<Hypothesis> BeamSearch::take_best(std::int32_t count) {
  CHECK_MSG(!hypotheses_.empty(), "a search ended with nothing found");
  hypotheses_.resize(std::min(hypotheses_.size(), static_cast<std::size_t>(count)));
  return std::exchange(hypotheses_, {});
}

}  // namespace caudal
