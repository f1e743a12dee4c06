#include "coordinator/policy/draft_length.h"

#include <algorithm>
#include <bit>

namespace caudal {

namespace {

constexpr std::int32_t kOne = DraftHistory::kOne;
constexpr std::int32_t kFirstHope = kOne * 7 / 10;  // hopeful, so that drafting is tried
// A sequence that stopped drafting tries again after so many steps: its text may have changed.
constexpr std::int32_t kStepsUntilRetry = 32;
// Steps of a replica without draft tokens until it measures again what these cost.
constexpr std::int32_t kMinPatience = 32, kMaxPatience = 2048;

// Moves towards 0 or kOne by 1 / `weight` of the way.
void learn(std::int32_t& chance, bool right, std::int32_t weight) {
  chance += right ? (kOne - chance) / weight : -(chance / weight);
}

}  // namespace

std::size_t MeasuredCosts::class_of(std::int32_t size) {
  if (size < 16) return static_cast<std::size_t>(std::max(size, 0));
  const auto number = static_cast<std::uint32_t>(size);
  const auto octave = static_cast<std::uint32_t>(std::bit_width(number)) - 5;  // 0 for 16 .. 31
  const std::uint32_t eighth = (number >> (octave + 1)) - 8;
  return std::min<std::size_t>(16 + 8 * octave + eighth, kNumClasses - 1);
}

void MeasuredCosts::observe(std::int32_t size, std::int64_t us) {
  if (size <= 0 || us <= 0) return;
  Sample& sample = samples_[class_of(size)];
  if (sample.us == 0 || us < sample.us) {
    sample = {size, us};
    return;
  }
  sample.us += (us - sample.us) / 16;
  sample.size += (size - sample.size) / 16;
}

std::int64_t MeasuredCosts::estimate(std::int32_t size) const {
  const std::size_t here = class_of(size);
  const Sample* below = nullptr;
  const Sample* above = nullptr;
  for (std::size_t i = here + 1; i-- > 0 && below == nullptr;) {
    if (samples_[i].us > 0 && samples_[i].size <= size) below = &samples_[i];
  }
  for (std::size_t i = here; i < kNumClasses && above == nullptr; ++i) {
    if (samples_[i].us > 0 && samples_[i].size >= size) above = &samples_[i];
  }
  if (below == nullptr) return above == nullptr ? 0 : above->us;
  if (above == nullptr) return below->us + below->us * (size - below->size) / (std::int64_t{4} * below->size);
  if (above->us <= below->us || above->size == below->size) return above->us;  // more cannot cost less
  return below->us + (above->us - below->us) * (size - below->size) / (above->size - below->size);
}

DraftLength::DraftLength(const ReplicaInfo& info)
    : longest_(std::min(info.max_draft_tokens, kMaxDraftTokens)), acceptance_(kFirstHope), patience_(kMinPatience) {}

DraftLength::Step DraftLength::step(const DecodeBatch& batch) {
  Step step;
  step.batch_ = batch;
  if (longest_ <= 0 || batch.num_speculating == 0) return step;
  for (std::int32_t k = 0; k <= longest_; ++k) {
    step.verify_us_[k] = step_costs_.estimate(batch.num_plain + batch.num_speculating * (1 + k));
  }
  if (step.verify_us_[0] == 0) return step;  // a plain step comes first
  step.pass_us_ = draft_costs_.estimate(batch.num_speculating);
  step.prior_ = acceptance_;
  step.longest_ = longest_;
  step.longest_ = step.best(kOne, /*with_model=*/false);  // longer never pays, nor does any if this is 0
  if (++num_idle_steps_ < patience_) return step;
  num_idle_steps_ = 0;
  patience_ = std::min(2 * patience_, kMaxPatience);
  step.shortest_ = std::min(longest_, 2);
  step.longest_ = std::max(step.longest_, step.shortest_);
  return step;
}

// The length with the most tokens per microsecond if all that may speculate do alike. It has to beat not speculating by
// a tenth: measurements are no better, and what a draft model needs to catch up with a prompt is not among them.
std::int32_t DraftLength::Step::best(std::int32_t acceptance, bool with_model) const {
  std::int64_t best_tokens = kOne * std::int64_t{batch_.num_plain + batch_.num_speculating} * 110 / 100;
  std::int64_t best_us = verify_us_[0];
  std::int64_t expected = kOne, chance = kOne;  // tokens of a sequence; that all draft tokens so far are right
  std::int32_t best = 0;
  for (std::int32_t k = 1; k <= longest_; ++k) {
    chance = chance * acceptance / kOne;
    expected += chance;
    const std::int64_t tokens = kOne * std::int64_t{batch_.num_plain} + expected * batch_.num_speculating;
    const std::int64_t us = verify_us_[k] + (with_model ? pass_us_ * k : 0);
    if (tokens * best_us <= best_tokens * us) continue;
    best_tokens = tokens;
    best_us = us;
    best = k;
  }
  return best;
}

std::int32_t DraftLength::Step::choose(DraftHistory& history, bool with_model) const {
  if (longest_ == 0) return 0;
  if (history.acceptance == 0) history.acceptance = prior_;
  const bool tries_again = history.num_plain_steps >= kStepsUntilRetry;
  const std::int32_t hope = tries_again ? std::max(history.acceptance, kFirstHope) : history.acceptance;
  const std::int32_t length = std::max(best(hope, with_model), shortest_);
  history.num_plain_steps = length > 0 ? 0 : history.num_plain_steps + 1;
  return tries_again ? std::min(length, 2) : length;
}

// Each draft token that was looked at counts: the right ones, and the one after them that was wrong.
void DraftLength::observe_drafts(DraftHistory& history, std::int32_t num_drafted, std::int32_t num_accepted) {
  const std::int32_t num_seen = std::min(num_drafted, num_accepted + 1);
  num_idle_steps_ = 0;
  if (history.acceptance == 0) history.acceptance = acceptance_;
  for (std::int32_t i = 0; i < num_seen; ++i) {
    learn(history.acceptance, i < num_accepted, 16);
    learn(acceptance_, i < num_accepted, 256);
  }
  history.acceptance = std::max(history.acceptance, 1);
}

}  // namespace caudal
