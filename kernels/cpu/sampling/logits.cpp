// The row is walked in blocks: a block's result (its maximum, its sum of weights) is kept, and only the block
// that decides is looked at again. Selection keeps a small buffer above a rising threshold.
#include "kernels/cpu/sampling/logits.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/sampling/logits.cpp"
#include <hwy/foreach_target.h>
// foreach_target first
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace caudal::HWY_NAMESPACE {

// The maximum of `size` logits; NaN when one of them is NaN.
float block_maximum(const float* logits, std::int64_t size) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V32 even = hn::Set(d, kMaskedLogit), odd = even;
  auto nan = hn::IsNaN(even);
  for (std::int64_t i = 0; i < size; i += lanes) {
    const V32 v = load(d, logits + i, size - i, kMaskedLogit);
    const V32 larger = hn::Max(v, even);
    nan = hn::Or(nan, hn::IsNaN(v));
    even = odd;
    odd = larger;
  }
  if (!hn::AllFalse(d, nan)) return std::numeric_limits<float>::quiet_NaN();
  return hn::GetLane(hn::MaxOfLanes(d, hn::Max(even, odd)));
}

// The sum of the weights of `size` tokens; each is stored too when `weights` (rounded up to 16) is given.
float block_weights(const float* logits, std::int64_t size, float maximum, float scale, float* weights) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V32 sum = hn::Zero(d);
  for (std::int64_t i = 0; i < size; i += lanes) {
    const V32 v = load(d, logits + i, size - i, kMaskedLogit);
    const V32 weight = exp(d, hn::Mul(hn::Sub(v, hn::Set(d, maximum)), hn::Set(d, scale)));
    if (weights != nullptr) hn::StoreU(weight, d, weights + i);
    sum = hn::Add(sum, weight);
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// Appends the logits >= minimum of a block and, unless null, their tokens, the first of which is
// `first_token`; returns how many. The outputs have room for size + 16 elements.
std::int64_t block_select(const float* logits, std::int64_t size, float minimum, TokenId first_token, float* out,
                          TokenId* tokens) {
  const F32 d;
  const I32 di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const V32 bound = hn::Set(d, minimum);
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < size; i += lanes) {
    const V32 v = load(d, logits + i, size - i, kMaskedLogit);
    const auto mask = hn::Ge(v, bound);
    if (HWY_LIKELY(hn::AllFalse(d, mask))) continue;
    const auto ids = hn::Iota(di, first_token + static_cast<TokenId>(i));
    if (tokens != nullptr) hn::CompressStore(ids, hn::RebindMask(di, mask), di, tokens + count);
    count += static_cast<std::int64_t>(hn::CompressStore(v, mask, d, out + count));
  }
  return count;
}

void block_mask(const float* logits, std::int64_t size, const std::uint64_t* allowed, float* out) {
  const F32 d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < size; i += lanes) {
    const V32 v = load(d, logits + i, size - i, kMaskedLogit);
    const std::uint64_t bits = allowed[i / 64] >> (i % 64);
    std::uint8_t bytes[8];
    std::memcpy(bytes, &bits, sizeof bits);
    const auto is_allowed = hn::LoadMaskBits(d, bytes);
    const auto is_broken = hn::Not(hn::Lt(v, hn::Set(d, -kMaskedLogit)));
    hn::StoreU(hn::IfThenElse(hn::Or(is_allowed, is_broken), v, hn::Set(d, kMaskedLogit)), d, out + i);
  }
}

}  // namespace caudal::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace caudal {

HWY_EXPORT(block_maximum);
HWY_EXPORT(block_weights);
HWY_EXPORT(block_select);
HWY_EXPORT(block_mask);

namespace {

constexpr std::int64_t kBlock = 1024;  // tokens; 4 KiB of logits, which the first cache holds
constexpr std::int64_t kMaxLanes = 16;

// fn(begin, size) for each block of the row, until it returns false.
template <typename Fn>
void for_each_block(std::span<const float> logits, Fn fn) {
  const auto total = static_cast<std::int64_t>(logits.size());
  for (std::int64_t begin = 0; begin < total; begin += kBlock) {
    if (!fn(begin, std::min(kBlock, total - begin))) return;
  }
}

// The smallest float above -inf, so that `logit >= minimum` never keeps a masked token.
float above_masked(float minimum) { return std::max(minimum, std::numeric_limits<float>::lowest()); }

// Values [0, k) become the k largest of [0, count), the smallest of them last.
void partition_largest(std::vector<float>& values, std::int64_t count, std::int64_t k) {
  std::nth_element(values.begin(), values.begin() + k - 1, values.begin() + count, std::greater<>());
}

}  // namespace

void mask_logits(const CpuContext& context, std::span<const float> logits, std::span<const std::uint64_t> allowed,
                 float* out) {
  CAUDAL_SIMD(context, block_mask)(logits.data(), std::ssize(logits), allowed.data(), out);
}

RowMaximum LogitsRow::maximum() const {
  RowMaximum best{kMaskedLogit, 0, true};
  std::int64_t best_block = 0;
  for_each_block(logits_, [&](std::int64_t begin, std::int64_t size) {
    const float value = CAUDAL_SIMD(context_, block_maximum)(logits_.data() + begin, size);
    best.valid = value == value;
    if (value > best.logit) {
      best.logit = value;
      best_block = begin;
    }
    return best.valid;
  });
  best.valid = best.valid && best.logit > kMaskedLogit && best.logit < -kMaskedLogit;
  const float* first = std::find(logits_.data() + best_block, logits_.data() + logits_.size(), best.logit);
  best.token = best.valid ? static_cast<TokenId>(first - logits_.data()) : 0;
  return best;
}

double LogitsRow::weight_sum(SoftmaxScale softmax) const {
  const std::vector<double> sums = block_sums(softmax);
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

std::vector<double> LogitsRow::block_sums(SoftmaxScale softmax) const {
  const auto weigh = CAUDAL_SIMD(context_, block_weights);
  std::vector<double> sums;
  for_each_block(logits_, [&](std::int64_t begin, std::int64_t size) {
    const float sum = weigh(logits_.data() + begin, size, softmax.maximum, softmax.scale, nullptr);
    sums.push_back(static_cast<double>(sum));
    return true;
  });
  return sums;
}

TokenId LogitsRow::sample(SoftmaxScale softmax, double fraction) const {
  const std::vector<double> sums = block_sums(softmax);
  const double target = fraction * std::accumulate(sums.begin(), sums.end(), 0.0);
  double running = 0;
  std::size_t block = 0;
  while (block + 1 < sums.size() && running + sums[block] <= target) running += sums[block++];
  while (block > 0 && sums[block] <= 0) --block;  // rounding may have led past the last possible token

  const auto begin = static_cast<std::int64_t>(block) * kBlock;
  const std::int64_t size = std::min(kBlock, std::ssize(logits_) - begin);
  float weights[kBlock + kMaxLanes];
  const auto weigh = CAUDAL_SIMD(context_, block_weights);
  weigh(logits_.data() + begin, size, softmax.maximum, softmax.scale, weights);
  std::int64_t sampled = 0;
  for (std::int64_t i = 0; i < size && running <= target; ++i) {
    if (weights[i] <= 0) continue;
    running += static_cast<double>(weights[i]);
    sampled = i;
  }
  return static_cast<TokenId>(begin + sampled);
}

Candidates LogitsRow::top(std::int64_t k) const {
  const auto select = CAUDAL_SIMD(context_, block_select);
  k = std::min(k, std::ssize(logits_));
  std::vector<float> largest(2 * k + kBlock + kMaxLanes);
  std::int64_t count = 0;
  float bound = above_masked(kMaskedLogit);
  for_each_block(logits_, [&](std::int64_t begin, std::int64_t size) {
    count += select(logits_.data() + begin, size, bound, 0, largest.data() + count, nullptr);
    if (count < 2 * k) return true;
    partition_largest(largest, count, k);
    // Strictly above: a later token of equal logit loses the tie.
    bound = std::nextafter(largest[k - 1], -kMaskedLogit);
    count = k;
    return true;
  });
  if (count <= k && bound == above_masked(kMaskedLogit)) return at_least(kMaskedLogit);
  partition_largest(largest, count, k);
  return first_of_equals(largest, k);
}

// The k tokens whose logits are largest[0, k), the smallest of which is last and may have equals beyond k.
Candidates LogitsRow::first_of_equals(const std::vector<float>& largest, std::int64_t k) const {
  const float smallest = largest[k - 1];
  std::int64_t equals = std::count(largest.begin(), largest.begin() + k, smallest);
  const Candidates all = at_least(smallest);
  Candidates kept;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all.logits[i] == smallest && equals-- <= 0) continue;
    kept.tokens.push_back(all.tokens[i]);
    kept.logits.push_back(all.logits[i]);
  }
  return kept;
}

void LogitsRow::weigh(SoftmaxScale softmax, Candidates& candidates) const {
  const std::size_t count = candidates.size();
  candidates.weights.resize(count + kMaxLanes);
  const auto weigh_all = CAUDAL_SIMD(context_, block_weights);
  weigh_all(candidates.logits.data(), static_cast<std::int64_t>(count), softmax.maximum, softmax.scale,
            candidates.weights.data());
  candidates.weights.resize(count);
}

Candidates LogitsRow::at_least(float minimum) const {
  const auto select = CAUDAL_SIMD(context_, block_select);
  Candidates found;
  std::int64_t count = 0;
  for_each_block(logits_, [&](std::int64_t begin, std::int64_t size) {
    const std::size_t needed = count + kBlock + kMaxLanes;
    if (found.size() < needed) {
      found.tokens.resize(2 * needed);
      found.logits.resize(2 * needed);
    }
    count += select(logits_.data() + begin, size, above_masked(minimum), static_cast<TokenId>(begin),
                    found.logits.data() + count, found.tokens.data() + count);
    return true;
  });
  found.tokens.resize(count);
  found.logits.resize(count);
  return found;
}

}  // namespace caudal
#endif  // HWY_ONCE
