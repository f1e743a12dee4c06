#include "coordinator/gateway/generation/best_of.h"

#include <algorithm>
#include <iterator>
#include <limits>

namespace caudal {
namespace {

double mean_logprob(const ChoiceDelta& candidate) {
  if (candidate.logprobs.empty()) return -std::numeric_limits<double>::infinity();
  double sum = 0.0;
  for (const auto& entries : candidate.logprobs) sum += static_cast<double>(entries.front().logprob);
  return sum / static_cast<double>(candidate.logprobs.size());
}

}  // namespace

BestOf::BestOf(std::size_t num_prompts, std::int32_t num_candidates, std::int32_t num_kept, bool keeps_logprobs)
    : num_candidates_(num_candidates),
      num_kept_(num_kept),
      keeps_logprobs_(keeps_logprobs),
      candidates_(num_prompts * num_candidates_) {}

void BestOf::add(ChoiceDelta delta) {
  ChoiceDelta& candidate = candidates_[delta.choice];
  candidate.text += delta.text;
  candidate.reasoning += delta.reasoning;
  std::move(delta.logprobs.begin(), delta.logprobs.end(), std::back_inserter(candidate.logprobs));
  candidate.token_ids.insert(candidate.token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
  if (delta.prompt) candidate.prompt = std::move(delta.prompt);
  candidate.finish_reason = delta.finish_reason;
  candidate.stop_string = std::move(delta.stop_string);
  candidate.stop_token = delta.stop_token;
}

std::vector<ChoiceDelta> BestOf::take() {
  std::vector<ChoiceDelta> kept;
  for (auto first = candidates_.begin(); first != candidates_.end();) {
    const auto last = first + static_cast<std::ptrdiff_t>(num_candidates_);
    std::stable_sort(first, last,
                     [](const ChoiceDelta& a, const ChoiceDelta& b) { return mean_logprob(a) > mean_logprob(b); });
    for (std::size_t i = 0; i < num_kept_; ++i) {
      ChoiceDelta& best = kept.emplace_back(std::move(first[static_cast<std::ptrdiff_t>(i)]));
      best.choice = static_cast<std::int32_t>(kept.size()) - 1;
      if (!keeps_logprobs_) best.logprobs.clear();
    }
    first = last;
  }
  return kept;
}

}  // namespace caudal
