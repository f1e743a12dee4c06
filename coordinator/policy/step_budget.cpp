#include "coordinator/policy/step_budget.h"

#include <algorithm>
#include <bit>

#include "common/types.h"

namespace caudal {
namespace {

constexpr std::int32_t kUnmeasured = 4 * kBlockSize;  // prompt tokens of a step while nothing is known
constexpr std::int64_t kMaxStepUs = 1LL << 30;        // longer ones are not believed
constexpr std::int64_t kUnit = 1 << 10;               // fixed point of the fading sums
constexpr int kFade = 3;                              // a new measurement counts 1/8
constexpr std::int64_t kMaxSurprise = 4;              // times the estimate: one slow step does not rule

std::size_t size_of(std::int32_t num_tokens) {
  return std::bit_width(static_cast<std::uint32_t>(std::max(num_tokens, 0)));
}

std::int64_t believable(std::int64_t measured, std::int64_t estimate) {
  return std::clamp(measured, estimate / kMaxSurprise, estimate * kMaxSurprise);
}

}  // namespace

std::int32_t StepBudget::prompt_tokens(std::int32_t num_decode_tokens, std::int64_t target_us) const {
  const std::int64_t token_ns = prompt_token_ns();
  if (token_ns == 0) return kUnmeasured;
  const std::int64_t aim_us = target_us - target_us / 16;  // estimates are means: half of the steps take longer
  const std::int64_t left_us = aim_us - decode_us(num_decode_tokens);
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(left_us * 1000 / token_ns, kBlockSize, 1 << 20));
}

void StepBudget::observe(const StepLoad& load, std::int64_t step_us) {
  if (step_us <= 0) return;
  step_us = std::min(step_us, kMaxStepUs);
  if (load.num_prompt_tokens <= 0) {
    std::int64_t& known = decode_us_[std::min(size_of(load.num_decode_tokens), kNumSizes - 1)];
    known = known == 0 ? step_us : known + (believable(step_us, known) - known) / (1 << kFade);
    return;
  }
  // What is always there, as reading the weights, is in the time of the smallest decode step, too.
  std::int64_t added_us = std::max<std::int64_t>(step_us - decode_us(load.num_decode_tokens), 0);
  if (const std::int64_t token_ns = prompt_token_ns(); token_ns > 0) {
    added_us = believable(added_us, std::max<std::int64_t>(token_ns * load.num_prompt_tokens / 1000, 1));
  }
  prompt_us_ += added_us * kUnit - prompt_us_ / (1 << kFade);
  prompt_tokens_ += load.num_prompt_tokens * kUnit - prompt_tokens_ / (1 << kFade);
}

std::int64_t StepBudget::decode_us(std::int32_t num_decode_tokens) const {
  const std::size_t size = std::min(size_of(num_decode_tokens), kNumSizes - 1);
  for (std::size_t i = size + 1; i-- > 0;) {
    if (decode_us_[i] > 0) return decode_us_[i];
  }
  for (const std::int64_t us : decode_us_) {
    if (us > 0) return us;
  }
  return 0;
}

std::int64_t StepBudget::prompt_token_ns() const {
  if (prompt_tokens_ == 0) return 0;
  return std::max<std::int64_t>(prompt_us_ * 1000 / prompt_tokens_, 1);
}

}  // namespace caudal
