// Penalties as OpenAI's API (presence, frequency) and CTRL (repetition, arXiv 1909.05858) define them.
#include "kernels/cpu/sampling/logit_edits.h"

#include <limits>

namespace caudal {

LogitEdits::LogitEdits(std::span<float> logits, const SamplingRow& row) : logits_(logits) {
  add_bias(*row.params);
  ban(row.banned);
  if (row.params->has_penalties()) penalize(*row.params, row.counts);
}

LogitEdits::~LogitEdits() {
  // Backwards, because a token may have been edited more than once.
  for (auto edit = originals_.rbegin(); edit != originals_.rend(); ++edit) {
    logits_[edit->first] = edit->second;
  }
}

void LogitEdits::set(TokenId token, float value) {
  originals_.emplace_back(token, at(token));
  logits_[token] = value;
}

void LogitEdits::add_bias(const SamplingParams& params) {
  for (const auto& [token, bias] : params.logit_bias) {
    if (in_row(token)) set(token, at(token) + bias);
  }
}

void LogitEdits::ban(std::span<const TokenId> tokens) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const TokenId token : tokens) {
    // NaN and +inf stay, for they mean that the whole row is broken.
    if (in_row(token) && at(token) < kInfinity) set(token, -kInfinity);
  }
}

void LogitEdits::penalize(const SamplingParams& params, std::span<const TokenCount> counts) {
  for (const TokenCount& count : counts) {
    if (!in_row(count.token)) continue;
    const float logit = at(count.token);
    float value = logit > 0 ? logit / params.repetition_penalty : logit * params.repetition_penalty;
    value -= params.frequency_penalty * static_cast<float>(count.output_count);
    if (count.output_count > 0) value -= params.presence_penalty;
    set(count.token, value);
  }
}

}  // namespace caudal
