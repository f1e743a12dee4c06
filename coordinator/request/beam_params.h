// BeamParams: how a request searches with beams instead of sampling. Meanings as in Hugging Face transformers.
#pragma once

#include <cstdint>

namespace caudal {

// When the search ends before every beam has reached its last token.
enum class EarlyStopping : std::uint8_t {
  kNo,     // once no beam, were it to end now, would be among the best
  kYes,    // once there are as many hypotheses as beams
  kNever,  // once no beam can become one of the best, whatever its length
};

struct BeamParams {
  std::int32_t width = 1;       // beams, and hypotheses that are kept
  double length_penalty = 1.0;  // hypotheses are ranked by their sum of log-probabilities / length ^ length_penalty
  EarlyStopping early_stopping = EarlyStopping::kNo;
};

}  // namespace caudal
