// Sampling, one row at a time, rows in parallel: edits, then a shortlist of tokens that can be sampled, then
// one uniform number walks down it in token order. Nucleus: Holtzman et al., arXiv 1904.09751; min-p: Nguyen
// et al., arXiv 2407.01082. Top-k, top-p and min-p all keep a prefix of the order "larger logit, then lower
// id"; a later filter works on what the earlier ones left.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/sampling/logit_edits.h"
#include "kernels/cpu/sampling/logits.h"
#include "kernels/philox.h"

namespace caudal {
namespace {

struct RankedToken {
  TokenId token = 0;
  float logit = 0.0F;
  float weight = 0.0F;
};

bool more_likely(const RankedToken& a, const RankedToken& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// The token at which the weights, added from the most likely on, reach `target`; the least likely of all when
// they do not. Halves the range by selection, so it costs O(n) and not a sort.
RankedToken reaches(std::vector<RankedToken> tokens, double target) {
  auto first = tokens.begin(), last = tokens.end();
  double before = 0;
  while (last - first > 1) {
    const auto middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, more_likely);
    double upper = 0;
    for (auto token = first; token != middle; ++token) upper += static_cast<double>(token->weight);
    if (before + upper >= target) {
      last = middle;
    } else {
      before += upper;
      first = middle;
    }
  }
  return *first;
}

double sum_weights(const Candidates& candidates) {
  return std::accumulate(candidates.weights.begin(), candidates.weights.end(), 0.0);
}

class RowSampler {
 public:
  RowSampler(const LogitsRow& logits, std::int64_t vocab_size, const SamplingParams& params, float maximum)
      : logits_(logits), vocab_size_(vocab_size), params_(params) {
    softmax_.maximum = maximum;
    softmax_.scale = std::min(1.0F / params.temperature, std::numeric_limits<float>::max());
  }

  TokenId sample(double uniform) const {
    if (params_.top_k <= 0 && params_.top_p >= 1.0F && params_.min_p <= 0.0F) return logits_.sample(softmax_, uniform);
    const Candidates candidates = shortlist();
    const double target = uniform * sum_weights(candidates);
    double running = 0;
    TokenId sampled = 0;
    for (std::size_t i = 0; i < candidates.size() && running <= target; ++i) {
      if (candidates.weights[i] <= 0) continue;
      running += static_cast<double>(candidates.weights[i]);
      sampled = candidates.tokens[i];
    }
    return sampled;
  }

 private:
  // Tokens in rising order of their id; those that cannot be sampled have weight 0.
  Candidates shortlist() const {
    const double whole_row = params_.top_p < 1.0F && params_.top_k <= 0 ? logits_.weight_sum(softmax_) : 0.0;
    Candidates candidates = params_.top_k > 0 ? logits_.top(params_.top_k) : logits_.at_least(logit_bound(whole_row));
    logits_.weigh(softmax_, candidates);
    if (params_.top_p < 1.0F) keep_nucleus(candidates, params_.top_k > 0 ? sum_weights(candidates) : whole_row);
    for (float& weight : candidates.weights) weight = weight < params_.min_p ? 0.0F : weight;
    return candidates;
  }

  // No token below this logit passes top-p and min-p. For top-p: tokens of weight under (1 - p) / vocab of
  // the whole hold less than 1 - p together, so the others hold p already.
  float logit_bound(double whole_row) const {
    const double excluded = 1.0 - static_cast<double>(params_.top_p);
    const double top_p_weight = excluded * whole_row / static_cast<double>(vocab_size_);
    const double weight = std::max(top_p_weight, static_cast<double>(params_.min_p));
    constexpr double kSlack = 0.999;  // rounding must not lose a token: the exact test comes after
    const auto maximum = static_cast<double>(softmax_.maximum);
    const double bound = maximum + std::log(kSlack * weight) / static_cast<double>(softmax_.scale);
    return static_cast<float>(bound - 1e-6 * std::abs(maximum));
  }

  // Sets the weights outside the smallest set that holds top_p of `whole` to 0. A histogram over the logits
  // finds the bin in which the set ends; only the tokens of that bin are ranked.
  void keep_nucleus(Candidates& candidates, double whole) const {
    const double target = static_cast<double>(params_.top_p) * whole;
    std::vector<double> bins(kBins, 0.0);
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      bins[bin_of(candidates.logits[i])] += static_cast<double>(candidates.weights[i]);
    }
    double before = 0;
    std::size_t bin = 0;
    while (bin + 1 < kBins && before + bins[bin] < target) before += bins[bin++];
    std::vector<RankedToken> ranked;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      if (bin_of(candidates.logits[i]) != bin) continue;
      ranked.push_back({candidates.tokens[i], candidates.logits[i], candidates.weights[i]});
    }
    if (ranked.empty()) return;  // rounding: even all of them fall short of the target
    const RankedToken end = reaches(std::move(ranked), target - before);
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const float logit = candidates.logits[i];
      const bool kept = logit > end.logit || (logit == end.logit && candidates.tokens[i] <= end.token);
      candidates.weights[i] = kept ? candidates.weights[i] : 0.0F;
    }
  }

  // Bins of 1/64 in log weight, from the most likely token down; the last takes all below e^-32.
  std::size_t bin_of(float logit) const {
    const float depth = (softmax_.maximum - logit) * softmax_.scale * 64.0F;
    return static_cast<std::size_t>(std::min(depth, static_cast<float>(kBins - 1)));
  }

  static constexpr std::size_t kBins = 2048;

  const LogitsRow& logits_;
  std::int64_t vocab_size_;
  const SamplingParams& params_;
  SoftmaxScale softmax_;
};

// log_softmax of the most likely tokens. Equal ones stay in order of their ids.
template <typename F>
void append_top(const LogitsRow& row, std::int32_t count, F logprob, std::vector<TokenLogprob>& result) {
  if (count == 0) return;
  const Candidates top = row.top(count);
  const auto begin = std::ssize(result);
  for (std::size_t i = 0; i < top.size(); ++i) result.push_back({top.tokens[i], logprob(top.logits[i])});
  std::stable_sort(result.begin() + begin, result.end(),
                   [](const TokenLogprob& a, const TokenLogprob& b) { return a.logprob > b.logprob; });
}

// log_softmax of the sampled token, then of the most likely, then of those that the row names.
std::vector<TokenLogprob> logprobs_of(const LogitsRow& row, std::span<const float> logits, TokenId sampled,
                                      const SamplingRow& asked) {
  const float maximum = row.maximum().logit;
  const double log_sum = static_cast<double>(maximum) + std::log(row.weight_sum({maximum, 1.0F}));
  const auto logprob = [&](float logit) { return static_cast<float>(static_cast<double>(logit) - log_sum); };
  std::vector<TokenLogprob> result{{sampled, logprob(logits[sampled])}};
  append_top(row, asked.params->num_logprobs, logprob, result);
  for (const TokenId token : asked.logprob_tokens) result.push_back({token, logprob(logits[token])});
  return result;
}

// The logits of the tokens that are allowed, in memory of this thread.
std::span<float> allowed_logits(const CpuContext& context, std::span<const float> logits, const SamplingRow& row) {
  static thread_local std::vector<float> masked;
  constexpr std::size_t kMaxLanes = 16;
  masked.resize(logits.size() + kMaxLanes);
  mask_logits(context, logits, row.allowed, masked.data());
  return std::span(masked).first(logits.size());
}

SamplingOutput sample_row(const CpuContext& context, std::span<float> logits, const SamplingRow& row) {
  const SamplingParams& params = *row.params;
  SamplingOutput out;
  {
    const std::span<float> allowed = row.allowed.empty() ? logits : allowed_logits(context, logits, row);
    const LogitsRow view(context, allowed);
    const LogitEdits edits(allowed, row);
    const RowMaximum maximum = view.maximum();
    out.valid = maximum.valid;
    if (!out.valid) return out;
    out.token = maximum.token;
    if (!params.greedy()) {
      const RowSampler sampler(view, std::ssize(logits), params, maximum.logit);
      out.token = sampler.sample(philox_uniform(params.seed, row.position));
    }
  }
  if (params.num_logprobs >= 0) out.logprobs = logprobs_of(LogitsRow(context, logits), logits, out.token, row);
  return out;
}

// Tokens that are there when it is made.
class Sampled final : public PendingSamples {
 public:
  explicit Sampled(std::vector<SamplingOutput> outputs) : outputs_(std::move(outputs)) {}
  bool ready() override { return true; }
  void wait(std::span<SamplingOutput> out) override {
    CHECK(out.size() == outputs_.size());
    std::move(outputs_.begin(), outputs_.end(), out.begin());
  }

 private:
  std::vector<SamplingOutput> outputs_;
};

}  // namespace

std::unique_ptr<PendingSamples> CpuBackend::sample(const Tensor& logits, std::int64_t vocab_size,
                                                   std::span<const SamplingRow> rows, const Tensor& tokens) {
  check_sample(logits, vocab_size, rows, tokens);
  std::vector<SamplingOutput> out(rows.size());
  context_->parallel_for(std::ssize(rows), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::span<float> row(logits.as<float>() + i * logits.stride0(), vocab_size);
      out[i] = sample_row(*context_, row, rows[i]);
    }
  });
  for (std::size_t i = 0; !tokens.empty() && i < out.size(); ++i)
    tokens.as<TokenId>()[i] = out[i].valid ? out[i].token : -1;
  return std::make_unique<Sampled>(std::move(out));
}

std::unique_ptr<PendingSamples> CpuBackend::fetch_samples(const Tensor& tokens) {
  std::vector<SamplingOutput> out;
  for (const TokenId token : std::span(tokens.as<TokenId>(), static_cast<std::size_t>(tokens.dim(0))))
    out.push_back({.token = std::max(token, 0), .valid = token >= 0, .logprobs = {}});
  return std::make_unique<Sampled>(std::move(out));
}

}  // namespace caudal
