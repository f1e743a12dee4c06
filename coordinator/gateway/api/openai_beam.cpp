#include "coordinator/gateway/api/openai_beam.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>

#include "coordinator/gateway/api/limits.h"

namespace caudal {
namespace {

// Beside what the table's `beam` refuses.
Result<void> refuse_contradictions(const ApiRequest& request) {
  const auto refused = [](std::string_view name) {
    return Error{"It cannot be combined with use_beam_search.", std::string(name)};
  };
  if (!request.params.sampling.logit_bias.empty()) return refused("logit_bias");
  if (!request.params.sampling.allowed_token_ids.empty()) return refused("allowed_token_ids");
  if (request.params.sampling.grammar.kind != GrammarKind::kNone) return refused(request.grammar_field);
  if (request.params.sampling.thinking.budget >= 0) return refused("thinking_token_budget");
  if (request.params.num_prompt_logprobs >= 0)
    return refused(request.tells_prompt_logprobs ? "prompt_logprobs" : "echo");
  if (!request.params.sampling.logprob_token_ids.empty()) return refused("logprob_token_ids");
  if (request.num_logprobs > kMaxBeamLogprobs) {
    return Error{fmt::format("With use_beam_search it must be at most {}.", kMaxBeamLogprobs),
                 request.endpoint == Endpoint::kChat ? "top_logprobs" : "logprobs"};
  }
  if (request.max_tokens == 0) return Error{"With use_beam_search it must be at least 1.", "max_tokens"};
  if (!request.stop_strings.empty()) return refused("stop");
  if (request.params.speculative.value_or(SpeculativeMode::kOff) != SpeculativeMode::kOff)
    return refused("speculative");
  if (request.stream) return Error{"A beam search cannot be streamed: the best are known at the end.", "stream"};
  return {};
}

// beam_width, else best_of, else n.
Result<void> choose_width(ApiRequest& request) {
  const char* field = request.beam_width > 0 ? "beam_width" : request.best_of > 0 ? "best_of" : "n";
  if (request.beam_width > 0 && request.best_of > 0 && request.beam_width != request.best_of) {
    return Error{"It must be equal to best_of, which means the same here.", "beam_width"};
  }
  request.beam->width =
      std::max({request.beam_width, request.best_of, request.beam_width > 0 ? 0 : request.num_sequences});
  if (request.best_of > 0 && request.best_of < request.num_sequences) return Error{"It must be at least n.", "best_of"};
  if (request.beam->width < request.num_sequences) return Error{"It must be at least n.", field};
  if (request.beam->width > kMaxBeams) return Error{fmt::format("At most {} beams are allowed.", kMaxBeams), field};
  if (std::ssize(request.prompts) * request.beam->width > kMaxChoices) {
    return Error{fmt::format("Prompts times {} must be at most {}.", field, kMaxChoices), field};
  }
  request.best_of = request.num_sequences;
  return {};
}

}  // namespace

Result<void> settle_beam_search(ApiRequest& request) {
  if (!request.use_beam_search) {
    const auto lonely = [](std::string_view name) { return Error{"It needs use_beam_search.", std::string(name)}; };
    if (request.beam_width > 0) return lonely("beam_width");
    if (request.length_penalty != 1.0) return lonely("length_penalty");
    if (request.early_stopping != EarlyStopping::kNo) return lonely("early_stopping");
    return {};
  }
  if (const auto done = refuse_contradictions(request); !done) return done.error();
  request.beam = BeamParams{.length_penalty = request.length_penalty, .early_stopping = request.early_stopping};
  SamplingParams plain;
  plain.temperature = 0.0F;
  plain.num_logprobs = request.params.sampling.num_logprobs;
  request.params.sampling = plain;
  return choose_width(request);
}

}  // namespace caudal
