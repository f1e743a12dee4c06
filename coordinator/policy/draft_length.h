// DraftLength: how many draft tokens a replica may try for each sequence of its next step, so that it makes the
// most tokens per second. Two things decide (Leviathan et al., arXiv 2211.17192, section 3.3): what steps of so many
// rows cost, measured on this replica, and how often the draft tokens of the sequence were right. Drafting pays while
// rows are nearly free, that is in small batches. Collaborator of the scheduler; integers only, so that plans replay
// the same everywhere.
#pragma once

#include <array>
#include <cstdint>

#include "common/types.h"

namespace caudal {

// How often a draft token was right, over those of one sequence.
struct DraftHistory {
  static constexpr std::int32_t kOne = 1024;  // certainty

  std::int32_t acceptance = 0;       // chance that the next draft token is right, of kOne; 0 = nothing known yet
  std::int32_t num_plain_steps = 0;  // since the last draft
};

// Microseconds by size, as measured: small ones each, larger ones in classes of an eighth of a power of two.
// An estimate between two measured sizes is interpolated, beyond the largest it grows by a quarter of the
// proportion, which is hopeful enough to be tried once.
class MeasuredCosts {
 public:
  void observe(std::int32_t size, std::int64_t us);
  std::int64_t estimate(std::int32_t size) const;  // 0 = nothing measured

 private:
  struct Sample {
    std::int32_t size = 0;
    std::int64_t us = 0;  // follows drops at once and rises slowly: hiccups do not count; 0 = none
  };
  static std::size_t class_of(std::int32_t size);

  static constexpr std::size_t kNumClasses = 16 + 8 * 16;
  std::array<Sample, kNumClasses> samples_{};
};

// The sequences of a step that decode.
struct DecodeBatch {
  std::int32_t num_plain = 0;        // may not speculate
  std::int32_t num_speculating = 0;  // may
};

class DraftLength {
 public:
  // How long drafts of one step may be, given its batch: prices of each length, then a choice per sequence.
  class Step {
   public:
    // Counts a step without a draft, so asked once per sequence and plan.
    std::int32_t choose(DraftHistory& history, bool with_model) const;
    bool ever_pays() const { return longest_ > 0; }

   private:
    friend class DraftLength;
    std::int32_t best(std::int32_t acceptance, bool with_model) const;

    DecodeBatch batch_;
    std::int32_t longest_ = 0;
    std::int32_t shortest_ = 0;
    std::int32_t prior_ = 0;
    std::array<std::int64_t, kMaxDraftTokens + 1> verify_us_{};
    std::int64_t pass_us_ = 0;  // of the draft model, per token
  };

  explicit DraftLength(const ReplicaInfo& info);

  // Now and then, ever less often, it has a step draft where that seems not to pay: a measurement may have been a
  // hiccup, and one that is never repeated would be believed forever.
  Step step(const DecodeBatch& batch);

  // A step without prefills that computed `num_rows` tokens in `us`, the draft model's time not counted.
  void observe_step(std::int32_t num_rows, std::int64_t us) { step_costs_.observe(num_rows, us); }
  // A pass of the draft model that made one draft token for each of `num_sequences`.
  void observe_pass(std::int32_t num_sequences, std::int64_t us) { draft_costs_.observe(num_sequences, us); }
  void observe_drafts(DraftHistory& history, std::int32_t num_drafted, std::int32_t num_accepted);

 private:
  std::int32_t longest_;
  std::int32_t acceptance_;          // over all sequences: what a new one starts with
  std::int32_t num_idle_steps_ = 0;  // since the last draft
  std::int32_t patience_;            // after so many idle steps it measures again
  MeasuredCosts step_costs_;
  MeasuredCosts draft_costs_;
};

}  // namespace caudal
