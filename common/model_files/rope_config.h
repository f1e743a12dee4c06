// Rotary position embeddings (Su et al., arXiv 2104.09864) of a model: how its frequencies were stretched for longer
// contexts, and so how long a context may be.
#pragma once

#include <cstdint>
#include <vector>

#include "common/json/json_node.h"

namespace caudal {

enum class RopeScaling { kNone, kLinear, kDynamic, kLlama3, kYarn, kFactors };

struct RopeConfig {
  std::int64_t max_position = 0;  // as config.json states it, in tokens
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  std::int64_t original_max_position = 0;  // context length before the stretching
  double low_freq_factor = 1.0;            // llama3
  double high_freq_factor = 4.0;           // llama3
  double beta_fast = 32.0;                 // yarn (Peng et al., arXiv 2309.00071)
  double beta_slow = 1.0;                  // yarn
  double attention_factor = 1.0;           // yarn: cos and sin are multiplied by it
  std::vector<double> factors;             // kFactors: each frequency is divided by its own; [head_dim / 2]
  bool truncate = true;                    // yarn: round the ramp's ends to whole dimensions

  // In tokens: what is served unless the operator asks for another length, and the most that may be asked for.
  std::int64_t default_context() const;
  std::int64_t longest_context() const;
};

// From the root of a config.json. Throws JsonError.
RopeConfig read_rope(const JsonNode& config);

}  // namespace caudal
