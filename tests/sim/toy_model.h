// ToyModel: a "language model" of three hash functions. What it says depends on every token before, read
// back from the KV blocks, on the seed and on the position, and on nothing else: not on batch, chunk, slot,
// replica or preemption. So one short loop (expected_output) knows what a cluster of it has to answer.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "coordinator/request/request.h"
#include "tests/sim/reference_beams.h"

namespace caudal::sim {

constexpr std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t z = a + 0x9e3779b97f4a7c15ULL * (b + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

struct ToyModel {
  static constexpr std::int32_t kVocabulary = 32;

  // The KV of a position, from the one before; before the first it is the number of the KV group.
  static std::uint64_t kv(std::uint64_t previous, TokenId token) { return mix(previous, token); }
  // Attention: folds the KV of one more position.
  static std::uint64_t attend(std::uint64_t state, std::uint64_t kv) { return mix(state, kv) + state; }

  struct Sample {
    TokenId token = 0;
    FinishReason finish_reason = FinishReason::kNone;
  };

  // The token after `num_tokens`. kError: the logits were NaN.
  static Sample sample(std::uint64_t state, std::uint64_t seed, const StopParams& stop, std::int32_t num_prompt,
                       std::int32_t num_tokens, std::int32_t max_context) {
    const std::uint64_t noise = mix(state, mix(seed, num_tokens));
    if (noise % 331 == 0) return {0, FinishReason::kError};
    const std::int32_t num_generated = num_tokens + 1 - num_prompt;
    auto token = static_cast<TokenId>((noise >> 20) % kVocabulary);
    const auto is_stop = [&] { return std::ranges::count(stop.stop_token_ids, token) > 0; };
    while (num_generated < stop.min_tokens && is_stop()) token = (token + 1) % kVocabulary;
    if (is_stop()) return {token, FinishReason::kStop};
    const bool at_limit = num_generated >= stop.max_tokens || num_tokens + 1 >= max_context;
    return {token, at_limit ? FinishReason::kLength : FinishReason::kNone};
  }

  // Of every token after `num_tokens`, banned ones at -infinity; finer than sums of them can be equal by chance.
  // Empty: the logits were NaN.
  static std::vector<float> logprobs(std::uint64_t state, const StopParams& stop, std::int32_t num_prompt,
                                     std::int32_t num_tokens) {
    const std::uint64_t noise = mix(state, static_cast<std::uint64_t>(num_tokens));
    if (noise % 20011 == 0) return {};
    std::vector<float> logprobs;
    for (TokenId token = 0; token < kVocabulary; ++token) {
      const bool is_banned =
          num_tokens + 1 - num_prompt < stop.min_tokens && std::ranges::count(stop.stop_token_ids, token) > 0;
      const float logprob = -static_cast<float>(mix(noise, token) >> 40) / 4194304.0F;  // 0 .. 4
      logprobs.push_back(is_banned ? -std::numeric_limits<float>::infinity() : logprob);
    }
    return logprobs;
  }
};

// How likely a token of a prompt is behind the one with this KV, and some others.
inline std::vector<TokenLogprob> toy_scores(std::uint64_t kv, TokenId token, std::int32_t count) {
  std::vector<TokenLogprob> entries{{token, -static_cast<float>(mix(kv, token) >> 40)}};
  for (std::int32_t i = 0; i < count; ++i) entries.push_back({i, -static_cast<float>(mix(kv, i) >> 40)});
  return entries;
}

struct Output {
  std::vector<TokenId> tokens;
  FinishReason finish_reason = FinishReason::kNone;
};

// The first key that a query at `position` sees.
inline std::size_t first_visible(std::int32_t window, std::size_t position) {
  const auto reach = static_cast<std::size_t>(window);
  return reach == 0 || position < reach ? 0 : position + 1 - reach;
}

// What the last of the tokens attends to: in each KV group, one after the other, to the last `window` ones; 0 = to all.
inline std::uint64_t attended(const std::vector<TokenId>& tokens, const std::vector<std::int32_t>& windows) {
  std::uint64_t state = 0;
  for (std::size_t group = 0; group < windows.size(); ++group) {
    std::uint64_t kv = group;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      kv = ToyModel::kv(kv, tokens[i]);
      if (i >= first_visible(windows[group], tokens.size() - 1)) state = ToyModel::attend(state, kv);
    }
  }
  return state;
}

// Of all tokens of a prompt but the first, as a client has to get them; of no prompt that asks for none.
inline std::vector<std::vector<TokenLogprob>> expected_scores(const Request& request) {
  std::vector<std::vector<TokenLogprob>> scores;
  std::uint64_t kv = 0;
  for (std::size_t i = 0; request.params.num_prompt_logprobs >= 0 && i + 1 < request.prompt.size(); ++i) {
    kv = ToyModel::kv(kv, request.prompt[i]);
    scores.push_back(toy_scores(kv, request.prompt[i + 1], request.params.num_prompt_logprobs));
  }
  return scores;
}

// Whether these come next behind the first `num_told`.
inline bool are_next_scores(const Request& request, std::size_t num_told,
                            const std::vector<std::vector<TokenLogprob>>& scores) {
  const std::vector<std::vector<TokenLogprob>> expected = expected_scores(request);
  const auto is_same = [](const std::vector<TokenLogprob>& a, const std::vector<TokenLogprob>& b) {
    return std::ranges::equal(a, b, [](const TokenLogprob& x, const TokenLogprob& y) {
      return x.token == y.token && x.logprob == y.logprob;
    });
  };
  return num_told + scores.size() <= expected.size() &&
         std::equal(scores.begin(), scores.end(), expected.begin() + static_cast<std::ptrdiff_t>(num_told), is_same);
}

// What sequence `index` of the request has to be answered. num_sequences and placement do not matter.
inline Output expected_output(const Request& request, std::int32_t index, std::int32_t max_context,
                              const std::vector<std::int32_t>& windows = {0}) {
  Output output;
  std::vector<TokenId> tokens = request.prompt;
  const auto num_prompt = static_cast<std::int32_t>(tokens.size());
  while (output.finish_reason == FinishReason::kNone) {
    const auto sample =
        ToyModel::sample(attended(tokens, windows), sequence_seed(request.params.sampling.seed, index),
                         request.params.stop, num_prompt, static_cast<std::int32_t>(tokens.size()), max_context);
    output.finish_reason = sample.finish_reason;
    if (sample.finish_reason == FinishReason::kError) break;
    tokens.push_back(sample.token);
    output.tokens.push_back(sample.token);
  }
  return output;
}

// What the choices of a beam search have to be answered. A NaN in any beam fails all.
inline std::vector<Output> expected_choices(const Request& request, std::int32_t max_context,
                                            const std::vector<std::int32_t>& windows = {0}) {
  const auto num_prompt = static_cast<std::int32_t>(request.prompt.size());
  bool failed = false;
  const auto model = [&](const std::vector<TokenId>& generated) {
    std::vector<TokenId> tokens = request.prompt;
    tokens.insert(tokens.end(), generated.begin(), generated.end());
    std::vector<float> logprobs = ToyModel::logprobs(attended(tokens, windows), request.params.stop, num_prompt,
                                                     static_cast<std::int32_t>(tokens.size()));
    failed |= logprobs.empty();
    return failed ? std::vector<float>() : logprobs;
  };
  const std::int32_t limit = std::min(request.params.stop.max_tokens, max_context - num_prompt);
  const std::vector<ReferenceBeam> found =
      reference_beams(*request.beam, request.params.stop.stop_token_ids, limit, model);
  std::vector<Output> outputs(static_cast<std::size_t>(request.num_sequences), Output{{}, FinishReason::kError});
  for (std::size_t i = 0; i < outputs.size() && !failed; ++i) {
    const ReferenceBeam& beam = found[std::min(i, found.size() - 1)];
    outputs[i] = {beam.tokens, beam.finish_reason};
  }
  return outputs;
}

// By choice or sequence.
inline std::vector<Output> expected_outputs(const Request& request, std::int32_t max_context,
                                            const std::vector<std::int32_t>& windows = {0}) {
  if (request.beam) return expected_choices(request, max_context, windows);
  std::vector<Output> outputs;
  for (std::int32_t index = 0; index < request.num_sequences; ++index) {
    outputs.push_back(expected_output(request, index, max_context, windows));
  }
  return outputs;
}

// A search for the toy worlds: of what a request may ask for. `word` is random.
inline BeamParams toy_beam_params(std::int32_t num_choices, std::uint64_t word) {
  constexpr double kPenalties[] = {-0.5, 0.0, 0.6, 1.0, 1.0, 1.8};
  return {.width = num_choices + static_cast<std::int32_t>(word % 3),
          .length_penalty = kPenalties[(word >> 8) % 6],
          .early_stopping = static_cast<EarlyStopping>((word >> 16) % 3)};
}

}  // namespace caudal::sim
