#include "tests/bench/workload.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

namespace caudal::bench {
namespace {

// The standard library's distributions differ between implementations; these do not.
double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

double exponential(std::mt19937_64& random, double mean) { return -mean * std::log1p(-uniform(random)); }

double normal(std::mt19937_64& random) {
  constexpr double kTwoPi = 6.283185307179586;
  return std::sqrt(-2.0 * std::log1p(-uniform(random))) * std::cos(kTwoPi * uniform(random));
}

// Log-normal with the given mean.
double log_normal(std::mt19937_64& random, double mean, double sigma) {
  return mean * std::exp(sigma * normal(random) - 0.5 * sigma * sigma);
}

// Gamma with mean 1 (Marsaglia and Tsang, 2000); shape below 1 by the usual power of a uniform number.
double gamma(std::mt19937_64& random, double shape) {
  const double boosted = shape < 1.0 ? shape + 1.0 : shape;
  const double d = boosted - 1.0 / 3.0;
  const double c = 1.0 / std::sqrt(9.0 * d);
  while (true) {
    const double x = normal(random);
    const double v = std::pow(1.0 + c * x, 3.0);
    if (v <= 0.0 || std::log1p(-uniform(random)) >= 0.5 * x * x + d - d * v + d * std::log(v)) continue;
    const double power = shape < 1.0 ? std::pow(1.0 - uniform(random), 1.0 / shape) : 1.0;
    return d * v * power / shape;
  }
}

std::int32_t clamped(double tokens, std::int32_t low, std::int32_t high) {
  return static_cast<std::int32_t>(std::clamp(std::round(tokens), double(low), double(high)));
}

// ShareGPT's tails.
constexpr std::int32_t kLongestTurn = 1024;

using Draw = std::function<RequestShape(std::mt19937_64&)>;

Draw lengths_of(const WorkloadOptions& options) {
  const double prompt = options.mean_prompt_tokens;
  const double output = options.mean_output_tokens;
  const std::int32_t cap = options.max_output_tokens;
  if (options.lengths == "fixed") {
    return [=](std::mt19937_64&) { return RequestShape{clamped(prompt, 1, 1 << 20), clamped(output, 1, 1 << 20)}; };
  }
  if (options.lengths == "uniform") {
    const auto around = [range = options.range](std::mt19937_64& random, double mean) {
      return clamped(mean * (1.0 + range * (2.0 * uniform(random) - 1.0)), 1, 1 << 20);
    };
    return [=](std::mt19937_64& random) {
      const std::int32_t num_prompt_tokens = around(random, prompt);
      return RequestShape{num_prompt_tokens, around(random, output)};
    };
  }
  if (options.lengths == "exponential") {
    return [=](std::mt19937_64& random) {
      double tokens = exponential(random, output);
      while (tokens > cap) tokens = exponential(random, output);
      return RequestShape{clamped(prompt, 1, 1 << 20), clamped(std::ceil(tokens), 1, cap)};
    };
  }
  if (options.lengths == "sharegpt") {
    return [=](std::mt19937_64& random) {
      const std::int32_t num_prompt_tokens = clamped(log_normal(random, 161.31, 1.1), 4, kLongestTurn);
      return RequestShape{num_prompt_tokens, clamped(log_normal(random, 337.99, 0.9), 4, std::min(cap, kLongestTurn))};
    };
  }
  return nullptr;
}

}  // namespace

Result<std::vector<RequestShape>> make_workload(const WorkloadOptions& options) {
  const Draw draw = lengths_of(options);
  if (!draw) return Error{"must be fixed, uniform, exponential or sharegpt", "lengths"};
  std::mt19937_64 random(options.seed);
  std::vector<RequestShape> requests;
  double arrival = 0.0;
  for (std::int32_t i = 0; i < options.num_requests; ++i) {
    requests.push_back(draw(random));
    requests.back().arrival_s = arrival;
    if (options.request_rate > 0.0) arrival += gamma(random, options.burstiness) / options.request_rate;
  }
  return requests;
}

RequestShape longest_request(const WorkloadOptions& options) {
  const std::int32_t prompt = options.mean_prompt_tokens;
  const std::int32_t cap = options.max_output_tokens;
  if (options.lengths == "sharegpt") return {kLongestTurn, std::min(cap, kLongestTurn)};
  if (options.lengths == "exponential") return {prompt, cap};
  const double stretch = options.lengths == "uniform" ? 1.0 + options.range : 1.0;
  return {clamped(prompt * stretch, 1, 1 << 20), clamped(options.mean_output_tokens * stretch, 1, 1 << 20)};
}

std::vector<std::int32_t> make_prompt(std::uint64_t seed, std::size_t index, std::int32_t num_tokens,
                                      std::int32_t vocab_size) {
  std::mt19937_64 random(seed * 0x9e3779b97f4a7c15ULL + index);
  std::vector<std::int32_t> prompt(static_cast<std::size_t>(num_tokens));
  for (std::int32_t& token : prompt) {
    token = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(vocab_size));
  }
  return prompt;
}

}  // namespace caudal::bench
