// The sampling distribution in float64, by the definition: edit, sort everything, cut, normalise.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/backend.h"

namespace caudal::reference {

// What is allowed, bias, bans and penalties. logits [vocab_size]
inline std::vector<double> edited_logits(std::vector<double> logits, const SamplingRow& row) {
  const SamplingParams& params = *row.params;
  for (std::size_t token = 0; token < logits.size() && !row.allowed.empty(); ++token) {
    if ((row.allowed[token / 64] >> (token % 64) & 1) == 0) logits[token] = -INFINITY;
  }
  for (const auto& [token, bias] : params.logit_bias)
    logits[static_cast<std::size_t>(token)] += static_cast<double>(bias);
  for (const TokenId token : row.banned) logits[static_cast<std::size_t>(token)] = -INFINITY;
  for (const TokenCount& count : row.counts) {
    double& logit = logits[static_cast<std::size_t>(count.token)];
    const auto repetition = static_cast<double>(params.repetition_penalty);
    logit = logit > 0 ? logit / repetition : logit * repetition;
    logit -= static_cast<double>(params.frequency_penalty) * count.output_count;
    if (count.output_count > 0) logit -= static_cast<double>(params.presence_penalty);
  }
  return logits;
}

// The probability of each token; temperature > 0.
inline std::vector<double> distribution(const std::vector<double>& raw, const SamplingRow& row) {
  const SamplingParams& params = *row.params;
  const std::vector<double> logits = edited_logits(raw, row);
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
  if (params.top_k > 0) order.resize(std::min(order.size(), static_cast<std::size_t>(params.top_k)));
  const auto weight = [&](std::size_t token) {
    return std::exp((logits[token] - logits[order[0]]) / static_cast<double>(params.temperature));
  };
  const auto sum = [&] {
    return std::accumulate(order.begin(), order.end(), 0.0, [&](double s, std::size_t t) { return s + weight(t); });
  };
  if (params.top_p < 1.0F) {
    const double target = static_cast<double>(params.top_p) * sum();
    double running = 0;
    std::size_t kept = 0;
    while (kept < order.size() && running < target) running += weight(order[kept++]);
    order.resize(std::max<std::size_t>(kept, 1));
  }
  while (weight(order.back()) < static_cast<double>(params.min_p)) order.pop_back();
  const double whole = sum();
  std::vector<double> probabilities(logits.size(), 0.0);
  for (const std::size_t token : order) probabilities[token] = weight(token) / whole;
  return probabilities;
}

}  // namespace caudal::reference
