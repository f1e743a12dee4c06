#include "worker/model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace caudal {
namespace {

std::vector<double> plain_frequencies(double theta, std::int64_t head_dim) {
  std::vector<double> frequencies(head_dim / 2);
  for (std::size_t i = 0; i < frequencies.size(); ++i)
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
  return frequencies;
}

// NTK-aware: a larger base stretches low frequencies by about the ratio of lengths and leaves high ones.
double dynamic_theta(const RopeConfig& rope, std::int64_t head_dim, std::int64_t context) {
  const auto dim = static_cast<double>(head_dim);
  const double ratio =
      static_cast<double>(std::max(context, rope.max_position)) / static_cast<double>(rope.max_position);
  const double stretch = rope.factor * ratio - (rope.factor - 1.0);
  return rope.theta * std::pow(stretch, dim / (dim - 2.0));
}

// Llama 3.1: waves longer than original / low_freq_factor are slowed by `factor`, those shorter than
// original / high_freq_factor are kept, and between the two the slowing fades in.
double llama3_frequency(const RopeConfig& rope, double frequency) {
  const double waves = static_cast<double>(rope.original_max_position) * frequency / (2.0 * std::numbers::pi);
  const double keep =
      std::clamp((waves - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor), 0.0, 1.0);
  return keep * frequency + (1.0 - keep) * frequency / rope.factor;
}

// The (fractional) pair that turns `rotations` times over the original context.
double yarn_pair(const RopeConfig& rope, std::int64_t head_dim, double rotations) {
  const double length = static_cast<double>(rope.original_max_position);
  return static_cast<double>(head_dim) * std::log(length / (rotations * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(rope.theta));
}

// Pairs that turn often (below `low`) are kept, those that turn less than once (above `high`) are slowed.
void stretch_yarn(const RopeConfig& rope, std::int64_t head_dim, std::vector<double>& frequencies) {
  double low = yarn_pair(rope, head_dim, rope.beta_fast);
  double high = yarn_pair(rope, head_dim, rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(head_dim - 1));
  if (low == high) high += 0.001;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double slow = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = slow * frequencies[i] / rope.factor + (1.0 - slow) * frequencies[i];
  }
}

}  // namespace

std::vector<double> rope_frequencies(const RopeConfig& rope, std::int64_t head_dim, std::int64_t context) {
  const bool dynamic = rope.scaling == RopeScaling::kDynamic;
  std::vector<double> frequencies =
      plain_frequencies(dynamic ? dynamic_theta(rope, head_dim, context) : rope.theta, head_dim);
  switch (rope.scaling) {
    case RopeScaling::kNone:
    case RopeScaling::kDynamic:
      break;
    case RopeScaling::kLinear:
      for (double& frequency : frequencies) frequency /= rope.factor;
      break;
    case RopeScaling::kLlama3:
      for (double& frequency : frequencies) frequency = llama3_frequency(rope, frequency);
      break;
    case RopeScaling::kYarn:
      stretch_yarn(rope, head_dim, frequencies);
      break;
    case RopeScaling::kFactors:
      for (std::size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= rope.factors[i];
      break;
  }
  return frequencies;
}

std::vector<float> rope_table(const RopeConfig& rope, std::int64_t head_dim, std::int64_t context) {
  const std::vector<double> frequencies = rope_frequencies(rope, head_dim, context);
  const double magnitude = rope.attention_factor;
  std::vector<float> table;
  table.reserve(static_cast<std::size_t>(context) * 2 * frequencies.size());
  for (std::int64_t position = 0; position < context; ++position) {
    const auto p = static_cast<double>(position);
    for (double f : frequencies) table.push_back(static_cast<float>(magnitude * std::cos(p * f)));
    for (double f : frequencies) table.push_back(static_cast<float>(magnitude * std::sin(p * f)));
  }
  return table;
}

}  // namespace caudal
