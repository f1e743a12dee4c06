// SIMD passes over one row of logits, f32 [vocab_size]. Each costs about one read of the row; none sorts it.
// Called by several threads on different rows.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "common/types.h"
#include "kernels/cpu/cpu_context.h"

namespace caudal {

inline constexpr float kMaskedLogit = -std::numeric_limits<float>::infinity();

struct RowMaximum {
  float logit = 0.0F;
  TokenId token = 0;   // the lowest one that has it
  bool valid = false;  // false: the row holds NaN or +inf, or nothing but -inf
};

// Some tokens of a row in rising order of their id. Three arrays, so that SIMD passes can fill and read them.
struct Candidates {
  std::vector<TokenId> tokens;
  std::vector<float> logits;
  std::vector<float> weights;  // empty until weigh()

  std::size_t size() const { return tokens.size(); }
};

// exp((logit - maximum) * scale): the weight of a token before normalisation. The largest is 1.
struct SoftmaxScale {
  float maximum = 0.0F;
  float scale = 1.0F;  // 1 / temperature
};

// Writes the logits whose bits are set (see SamplingRow::allowed) to `out`, kMaskedLogit for the others; NaN and +inf
// stay, for they mean that the whole row is broken. `out` has room for 16 more.
void mask_logits(const CpuContext& context, std::span<const float> logits, std::span<const std::uint64_t> allowed,
                 float* out);

class LogitsRow {
 public:
  LogitsRow(const CpuContext& context, std::span<const float> logits) : context_(context), logits_(logits) {}

  RowMaximum maximum() const;

  // The sum of all weights.
  double weight_sum(SoftmaxScale softmax) const;

  // The first token whose running sum of weights exceeds fraction * sum of all; fraction in [0, 1).
  TokenId sample(SoftmaxScale softmax, double fraction) const;

  // The k most likely tokens (fewer if the others are -inf); of equal logits the lowest ids. k > 0.
  Candidates top(std::int64_t k) const;

  // All tokens with logit >= minimum; -inf is never one.
  Candidates at_least(float minimum) const;

  void weigh(SoftmaxScale softmax, Candidates& candidates) const;

 private:
  std::vector<double> block_sums(SoftmaxScale softmax) const;
  Candidates first_of_equals(const std::vector<float>& largest, std::int64_t k) const;

  const CpuContext& context_;
  std::span<const float> logits_;
};

}  // namespace caudal
