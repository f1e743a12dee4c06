// StepBudget: how many prompt tokens fit beside the decodes of one step of a replica, so that the step takes no
// longer than an inter-token-latency target. Learns from the times that the worker measures: a step takes what
// its decodes take alone plus so much per prompt token. Integers only: the same answers give the same plans.
// Owned by the scheduler's Replica; engine thread.
#pragma once

#include <array>
#include <cstdint>

namespace caudal {

// What a plan asks a replica to compute.
struct StepLoad {
  std::int32_t num_decode_tokens = 0;
  std::int32_t num_prompt_tokens = 0;
};

class StepBudget {
 public:
  // Prompt tokens that fit into a step of `target_us` beside these decodes. At least one block: a prompt that
  // has begun always goes forward, even where the decodes alone miss the target.
  std::int32_t prompt_tokens(std::int32_t num_decode_tokens, std::int64_t target_us) const;

  // A step of this load took so long, on the worker's own clock. Times of 0 and less are not measurements.
  void observe(const StepLoad& load, std::int64_t step_us);

  // A step of these decodes alone; of the next smaller (else larger) measured number. 0: none was measured.
  std::int64_t decode_us(std::int32_t num_decode_tokens) const;
  // What one more prompt token costs. 0: not measured.
  std::int64_t prompt_token_ns() const;

 private:
  static constexpr std::size_t kNumSizes = 24;

  std::array<std::int64_t, kNumSizes> decode_us_{};  // [bit width of the number of decode tokens], smoothed
  // Prompt tokens and the microseconds they added, both fading: long chunks count more than short ones.
  std::int64_t prompt_us_ = 0;
  std::int64_t prompt_tokens_ = 0;
};

}  // namespace caudal
