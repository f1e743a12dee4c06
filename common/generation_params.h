// GenerationParams: how the tokens of a request are generated. The gateway fills it in, the worker uses it, and
// everybody between them passes it on whole. A new parameter is a field here and a line in visit_fields().
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/fields.h"

namespace caudal {

using TokenId = std::int32_t;

struct TokenBias {
  TokenId token = 0;
  float bias = 0.0F;  // added to the logit
};

// How the next token of a sequence is chosen. Ranges are checked in coordinator/gateway/api/parameters.
struct SamplingParams {
  float temperature = 1.0F;         // 0 = greedy
  float top_p = 1.0F;               // (0, 1]; 1 = off
  std::int32_t top_k = 0;           // 0 = off
  float min_p = 0.0F;               // [0, 1]; 0 = off; relative to the most likely token
  float repetition_penalty = 1.0F;  // > 0; over prompt and output (CTRL, arXiv 1909.05858)
  float presence_penalty = 0.0F;    // over output tokens
  float frequency_penalty = 0.0F;   // over output tokens, times their count
  std::uint64_t seed = 0;           // always set: by the client or at random by the gateway
  std::int32_t num_logprobs = -1;   // -1 = none; 0 = the sampled token's; n = and the n most likely
  std::vector<TokenBias> logit_bias{};
  std::vector<std::vector<TokenId>> bad_words{};  // none of them is ever completed in the output

  bool greedy() const { return temperature == 0.0F; }
  bool has_penalties() const {
    return repetition_penalty != 1.0F || presence_penalty != 0.0F || frequency_penalty != 0.0F;
  }
};

// When a sequence ends. The worker decides it in the step; only stop strings are the gateway's.
struct StopParams {
  std::int32_t max_tokens = 16;           // generated tokens
  std::int32_t min_tokens = 0;            // stop tokens are masked until then
  std::vector<TokenId> stop_token_ids{};  // includes the model's own unless the client ignores those
};

// Where draft tokens of a sequence may come from. Right ones save steps; the output does not depend on them.
enum class SpeculativeMode : std::uint8_t {
  kOff,
  kNgram,  // what followed the same tokens earlier in the sequence
  kDraft,  // a smaller model
  kAuto,   // kNgram where that finds something, else kDraft where there is a draft model
};
constexpr SpeculativeMode last_of(SpeculativeMode) { return SpeculativeMode::kAuto; }

struct GenerationParams {
  SamplingParams sampling{};
  StopParams stop{};
  std::optional<SpeculativeMode> speculative{};  // none: the coordinator's default
};

void visit_fields(Is<TokenBias> auto& bias, auto&& visit) {
  visit("token", bias.token);
  visit("bias", bias.bias);
}

void visit_fields(Is<SamplingParams> auto& params, auto&& visit) {
  visit("temperature", params.temperature);
  visit("top_p", params.top_p);
  visit("top_k", params.top_k);
  visit("min_p", params.min_p);
  visit("repetition_penalty", params.repetition_penalty);
  visit("presence_penalty", params.presence_penalty);
  visit("frequency_penalty", params.frequency_penalty);
  visit("seed", params.seed);
  visit("num_logprobs", params.num_logprobs);
  visit("logit_bias", params.logit_bias);
  visit("bad_words", params.bad_words);
}

void visit_fields(Is<StopParams> auto& stop, auto&& visit) {
  visit("max_tokens", stop.max_tokens);
  visit("min_tokens", stop.min_tokens);
  visit("stop_token_ids", stop.stop_token_ids);
}

void visit_fields(Is<GenerationParams> auto& params, auto&& visit) {
  visit("sampling", params.sampling);
  visit("stop", params.stop);
  visit("speculative", params.speculative);
}

}  // namespace caudal
