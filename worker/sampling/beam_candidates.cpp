#include "worker/sampling/beam_candidates.h"

#include <algorithm>
#include <span>

#include "worker/sampling/bad_words.h"

namespace caudal {

// Log-probabilities are of the model's own distribution, where nothing is banned; the first is of the token that a
// greedy choice gave and stands among the others as well.
std::vector<TokenLogprob> candidates_of(const SequenceRow& beam, const SamplingOutput& sampled) {
  if (sampled.logprobs.empty()) return {};
  std::vector<TokenId> banned;
  if (beam.num_output_tokens() < beam.params.stop.min_tokens) banned = beam.params.stop.stop_token_ids;
  append_banned(beam, {}, banned);
  std::vector<TokenLogprob> candidates;
  for (const TokenLogprob& next : std::span(sampled.logprobs).subspan(1)) {
    if (std::ranges::find(banned, next.token) == banned.end()) candidates.push_back(next);
  }
  return candidates;
}

}  // namespace caudal
