// GenerationParams: how the tokens of a request are generated. The gateway fills it in, the worker uses it, and
// everybody between them passes it on whole. A new parameter is a field here and a line in visit_fields().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/fields.h"

namespace caudal {

using TokenId = std::int32_t;

struct TokenBias {
  TokenId token = 0;
  float bias = 0.0F;  // added to the logit
};

// What a grammar's text is written in (common/grammar).
enum class GrammarKind : std::uint8_t {
  kNone,
  kJsonSchema,  // drafts 4 to 2020-12, by `$schema`; 2020-12 without it
  kRegex,       // ECMA 262's, without back references and look-behind; matches the whole output
  kGbnf,        // llama.cpp's form of EBNF
  kLark,        // Lark's form of EBNF, without imports and templates
  kChoices,     // a JSON list of strings
  kTags,        // texts, tags and grammars one after another: xgrammar's structural tags, in JSON
};
constexpr GrammarKind last_of(GrammarKind) { return GrammarKind::kTags; }

// What the output is held to.
struct GrammarParams {
  GrammarKind kind = GrammarKind::kNone;
  std::string text{};
};

// How long a model may think: after `budget` tokens behind `begin`, its output goes on with `end`.
struct ThinkingParams {
  std::int32_t budget = -1;      // tokens; -1 = no limit
  std::vector<TokenId> begin{};  // what opens the thinking; empty: the prompt has opened it
  std::vector<TokenId> end{};    // what closes it; not empty with a budget
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
  std::vector<TokenId> allowed_token_ids{};       // no other token is sampled; empty = all are allowed
  std::vector<TokenId> logprob_token_ids{};       // whose log-probabilities are told besides, where any are
  GrammarParams grammar{};
  ThinkingParams thinking{};

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
  std::int32_t num_prompt_logprobs = -1;         // as num_logprobs, for each token of the prompt but the first
};

void visit_fields(Is<TokenBias> auto& bias, auto&& visit) {
  visit("token", bias.token);
  visit("bias", bias.bias);
}

void visit_fields(Is<GrammarParams> auto& grammar, auto&& visit) {
  visit("kind", grammar.kind);
  visit("text", grammar.text);
}

void visit_fields(Is<ThinkingParams> auto& thinking, auto&& visit) {
  visit("budget", thinking.budget);
  visit("begin", thinking.begin);
  visit("end", thinking.end);
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
  visit("allowed_token_ids", params.allowed_token_ids);
  visit("logprob_token_ids", params.logprob_token_ids);
  visit("grammar", params.grammar);
  visit("thinking", params.thinking);
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
  visit("num_prompt_logprobs", params.num_prompt_logprobs);
}

}  // namespace caudal
