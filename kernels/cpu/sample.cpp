// Sampling, one row at a time, rows in parallel: edits, then a shortlist of tokens that can be drawn, then one
// uniform number walks down it in token order. Nucleus: Holtzman et al., arXiv 1904.09751; min-p: Nguyen et
// al., arXiv 2407.01082. Top-k, top-p and min-p all keep a prefix of the order "larger logit, then lower
// id"; a later filter works on what the earlier ones left.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/logit_edits.h"
#include "kernels/cpu/logits.h"
#include "kernels/expect.h"
#include "kernels/philox.h"

namespace caudal {
namespace {

struct WeightedToken {
  TokenId token = 0;
  float logit = 0.0F;
  float weight = 0.0F;  // exp((logit - maximum) / temperature)
};

bool more_likely(const WeightedToken& a, const WeightedToken& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

double sum_weights(auto first, auto last) {
  return std::accumulate(first, last, 0.0, [](double sum, const WeightedToken& token) {
    return sum + static_cast<double>(token.weight);
  });
}

// The least likely token of the smallest set, taken from the most likely on, whose weights reach `target`; the
// least likely of all when they do not. Halves the range by selection, so it costs O(n) and not a sort.
WeightedToken nucleus_end(std::vector<WeightedToken> tokens, double target) {
  auto first = tokens.begin(), last = tokens.end();
  double before = 0;
  while (last - first > 1) {
    const auto middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, more_likely);
    const double upper = sum_weights(first, middle);
    if (before + upper >= target) {
      last = middle;
    } else {
      before += upper;
      first = middle;
    }
  }
  return *first;
}

class RowSampler {
 public:
  RowSampler(const LogitsRow& logits, std::int64_t vocab_size, const SamplingParams& params, float maximum)
      : logits_(logits), vocab_size_(vocab_size), params_(params) {
    softmax_.maximum = maximum;
    softmax_.scale = std::min(1.0F / params.temperature, std::numeric_limits<float>::max());
  }

  TokenId draw(double uniform) const {
    if (params_.top_k <= 0 && params_.top_p >= 1.0F && params_.min_p <= 0.0F) return logits_.draw(softmax_, uniform);
    const std::vector<WeightedToken> tokens = shortlist();
    const double target = uniform * sum_weights(tokens.begin(), tokens.end());
    double running = 0;
    TokenId drawn = tokens.front().token;
    for (const WeightedToken& token : tokens) {
      if (token.weight <= 0) continue;
      drawn = token.token;
      running += static_cast<double>(token.weight);
      if (running > target) break;
    }
    return drawn;
  }

 private:
  // The tokens that can be drawn, in rising order of their id.
  std::vector<WeightedToken> shortlist() const {
    const double whole_row = params_.top_p < 1.0F && params_.top_k <= 0 ? logits_.weight_sum(softmax_) : 0.0;
    std::vector<WeightedToken> tokens =
        weigh(params_.top_k > 0 ? logits_.top(params_.top_k) : logits_.at_least(logit_bound(whole_row)));
    if (params_.top_p < 1.0F) {
      const double whole = params_.top_k > 0 ? sum_weights(tokens.begin(), tokens.end()) : whole_row;
      const WeightedToken end = nucleus_end(tokens, static_cast<double>(params_.top_p) * whole);
      std::erase_if(tokens, [&](const WeightedToken& token) { return more_likely(end, token); });
    }
    std::erase_if(tokens, [&](const WeightedToken& token) { return token.weight < params_.min_p; });
    return tokens;
  }

  // No token below this logit passes top-p and min-p. For top-p: tokens of weight under (1 - p) / vocab of the
  // whole hold less than 1 - p together, so the others hold p already.
  float logit_bound(double whole_row) const {
    const double excluded = 1.0 - static_cast<double>(params_.top_p);
    const double top_p_weight = excluded * whole_row / static_cast<double>(vocab_size_);
    const double weight = std::max(top_p_weight, static_cast<double>(params_.min_p));
    constexpr double kSlack = 0.999;  // rounding must not lose a token: the exact test comes after
    const auto maximum = static_cast<double>(softmax_.maximum);
    const double bound = maximum + std::log(kSlack * weight) / static_cast<double>(softmax_.scale);
    return static_cast<float>(bound - 1e-6 * std::abs(maximum));
  }

  std::vector<WeightedToken> weigh(const Candidates& candidates) const {
    std::vector<WeightedToken> tokens(candidates.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const float logit = candidates.logits[i];
      tokens[i] = {candidates.tokens[i], logit, std::exp((logit - softmax_.maximum) * softmax_.scale)};
    }
    return tokens;
  }

  const LogitsRow& logits_;
  std::int64_t vocab_size_;
  const SamplingParams& params_;
  SoftmaxScale softmax_;
};

// log_softmax of the sampled token, then of the `count` most likely.
std::vector<TokenLogprob> logprobs_of(const LogitsRow& row, std::span<const float> logits, TokenId sampled,
                                      std::int32_t count) {
  const float maximum = row.maximum().logit;
  const double log_sum = static_cast<double>(maximum) + std::log(row.weight_sum({maximum, 1.0F}));
  const auto logprob = [&](float logit) { return static_cast<float>(static_cast<double>(logit) - log_sum); };
  std::vector<TokenLogprob> result{{sampled, logprob(logits[static_cast<std::size_t>(sampled)])}};
  if (count == 0) return result;
  const Candidates top = row.top(count);
  for (std::size_t i = 0; i < top.size(); ++i) result.push_back({top.tokens[i], logprob(top.logits[i])});
  // Stable: equal ones stay in order of their ids.
  std::stable_sort(result.begin() + 1, result.end(),
                   [](const TokenLogprob& a, const TokenLogprob& b) { return a.logprob > b.logprob; });
  return result;
}

SamplingOutput sample_row(const CpuContext& context, std::span<float> logits, const SamplingRow& row) {
  const SamplingParams& params = *row.params;
  const LogitsRow view(context, logits);
  SamplingOutput out;
  {
    const LogitEdits edits(logits, row);
    const RowMaximum maximum = view.maximum();
    out.valid = maximum.valid;
    if (!out.valid) return out;
    out.token = maximum.token;
    if (!params.greedy()) {
      const RowSampler sampler(view, std::ssize(logits), params, maximum.logit);
      out.token = sampler.draw(philox_uniform(params.seed, row.position));
    }
  }
  if (params.num_logprobs >= 0) out.logprobs = logprobs_of(view, logits, out.token, params.num_logprobs);
  return out;
}

}  // namespace

void CpuBackend::sample(const Tensor& logits, std::int64_t vocab_size, std::span<const SamplingRow> rows,
                        std::span<SamplingOutput> out) {
  Dim num_rows("num_rows", std::ssize(rows)), columns("columns");
  Expect expect("sample");
  expect.shape("logits", logits, {num_rows, columns}).dtype("logits", logits, DType::kF32);
  expect.that(vocab_size > 0 && vocab_size <= *columns, "vocab_size must be in [1, columns]");
  expect.that(rows.size() == out.size(), "out must have one entry per row");
  context_->parallel_for(*num_rows, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::span<float> row(logits.as<float>() + i * logits.stride0(), static_cast<std::size_t>(vocab_size));
      out[static_cast<std::size_t>(i)] = sample_row(*context_, row, rows[static_cast<std::size_t>(i)]);
    }
  });
}

}  // namespace caudal
