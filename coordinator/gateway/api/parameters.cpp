#include "coordinator/gateway/api/parameters.h"

#include <algorithm>
#include <limits>

#include "coordinator/gateway/api/chat_input.h"
#include "coordinator/gateway/api/limits.h"
#include "coordinator/gateway/api/openai_logprobs.h"
#include "coordinator/request/speculative_modes.h"

namespace caudal {
namespace {

using enum Parameter::Type;
using enum Parameter::On;
using Bounds = Parameter::Bounds;
using Value = Parameter::Value;

constexpr double kMaxInt32 = std::numeric_limits<std::int32_t>::max();
constexpr double kMinInt32 = std::numeric_limits<std::int32_t>::min();
constexpr double kMaxTokenCount = 1 << 24;
constexpr double kMaxTimeMs = 86'400'000;  // a day
constexpr double kMinInt64 = -9223372036854775808.0;
constexpr double kMaxInt64 = 9223372036854775807.0;  // rounds to 2^63; integers beyond int64 fail before

constexpr std::string_view kEarlyStoppingWords[] = {"never"};
constexpr auto kSpeculativeWords = [] {
  std::array<std::string_view, std::size(kSpeculativeModes)> words;
  std::ranges::transform(kSpeculativeModes, words.begin(), [](const auto& mode) { return mode.first; });
  return words;
}();

// --- Where values go: to<&Struct::field> ---

template <typename T>
ApiRequest& owner(ApiRequest& request, T ApiRequest::*) {
  return request;
}
template <typename T>
SamplingParams& owner(ApiRequest& request, T SamplingParams::*) {
  return request.params.sampling;
}
template <typename T>
GenerationParams& owner(ApiRequest& request, T GenerationParams::*) {
  return request.params;
}
template <typename T>
StopParams& owner(ApiRequest& request, T StopParams::*) {
  return request.params.stop;
}
template <typename T>
ThinkingParams& owner(ApiRequest& request, T ThinkingParams::*) {
  return request.params.sampling.thinking;
}
template <typename T>
ChatInput& owner(ApiRequest& request, T ChatInput::*) {
  return *request.chat;
}

void put(Value& value, std::optional<bool>& field) { field = value.integer != 0; }
void put(Value& value, bool& field) { field = value.integer != 0; }
void put(Value& value, std::int32_t& field) { field = static_cast<std::int32_t>(value.integer); }
void put(Value& value, std::int64_t& field) { field = value.integer; }
void put(Value& value, std::optional<std::int32_t>& field) { field = static_cast<std::int32_t>(value.integer); }
void put(Value& value, float& field) { field = static_cast<float>(value.real); }
void put(Value& value, double& field) { field = value.real; }
void put(Value& value, std::string& field) { field = std::move(value.texts.front()); }
void put(Value& value, std::vector<std::string>& field) { field = std::move(value.texts); }
void put(Value& value, std::vector<TokenId>& field) { field = std::move(value.tokens); }
void put(Value& value, std::vector<TokenBias>& field) { field = std::move(value.biases); }
void put(Value& value, std::vector<Prompt>& field) { field = std::move(value.prompts); }

template <auto field>
void to(ApiRequest& request, Value& value) {
  put(value, owner(request, field).*field);
}

// Dividing logits by less than this only overflows; it is greedy in all but name.
void set_temperature(ApiRequest& request, Value& value) {
  request.params.sampling.temperature = value.real < 1e-5 ? 0.0F : static_cast<float>(value.real);
}

void set_top_k(ApiRequest& request, Value& value) {
  request.params.sampling.top_k = static_cast<std::int32_t>(std::max<std::int64_t>(value.integer, 0));
}

template <auto field>
void set_logprobs(ApiRequest& request, Value& value) {
  owner(request, field).*field = value.integer == -1 ? kWholeVocabulary : static_cast<std::int32_t>(value.integer);
}

// As vLLM has it, -1 is no seed.
void set_seed(ApiRequest& request, Value& value) {
  if (value.integer != -1) request.seed = static_cast<std::uint64_t>(value.integer);
}

void set_early_stopping(ApiRequest& request, Value& value) {
  constexpr EarlyStopping kRules[] = {EarlyStopping::kNo, EarlyStopping::kYes, EarlyStopping::kNever};
  request.early_stopping = kRules[value.integer];
}

void set_speculative(ApiRequest& request, Value& value) {
  request.params.speculative = kSpeculativeModes[value.integer].second;
}

void set_stream_options(ApiRequest& request, Value&) { request.has_stream_options = true; }

// --- What values may be ---

constexpr Bounds between(double min, double max) { return {.min = min, .max = max}; }
constexpr Bounds above(double min, double max) { return {.min = min, .max = max, .above_min = true}; }
constexpr Bounds one_of(std::span<const std::string_view> words) { return {.words = words}; }

constexpr Bounds not_blank(Bounds text) {
  text.not_blank = true;
  return text;
}

constexpr Bounds at_most(std::size_t max_items, Bounds each = {}) {
  each.max_items = max_items;
  return each;
}

// With use_beam_search it must be `neutral`, or what means as much.
constexpr Bounds in_beams(Bounds bounds, double neutral, double same) {
  bounds.beam = {neutral, same};
  return bounds;
}
constexpr Bounds in_beams(Bounds bounds, double neutral) { return in_beams(bounds, neutral, neutral); }

// --- The table ---

constexpr Parameter kParameters[] = {
    {"model", kText, kBoth, between(1, 256), "the first served", to<&ApiRequest::model>},
    {"prompt", kPrompts, kCompletions, at_most(kMaxChoices), "", to<&ApiRequest::prompts>, true},
    {"max_tokens", kInteger, kBoth, between(0, kMaxTokenCount), "16; chat: what the context leaves",
     to<&ApiRequest::max_tokens>},
    {"max_completion_tokens", kInteger, kChat, between(0, kMaxTokenCount), "max_tokens", to<&ApiRequest::max_tokens>},
    {"min_tokens", kInteger, kBoth, between(0, kMaxTokenCount), "0", to<&StopParams::min_tokens>},
    {"n", kInteger, kBoth, between(1, 64), "1", to<&ApiRequest::num_sequences>},
    {"best_of", kInteger, kBoth, between(1, 64), "n; chat: always n", to<&ApiRequest::best_of>},
    {"use_beam_search", kBoolean, kBoth, {}, "false", to<&ApiRequest::use_beam_search>},
    {"beam_width", kInteger, kBoth, between(1, kMaxBeams), "best_of, else n", to<&ApiRequest::beam_width>},
    {"length_penalty", kNumber, kBoth, between(-10, 10), "1", to<&ApiRequest::length_penalty>},
    {"early_stopping", kBoolean, kBoth, one_of(kEarlyStoppingWords), "false", set_early_stopping},
    {"temperature", kNumber, kBoth, in_beams(between(0, 100), 0, 1), "the model's, else 1", set_temperature},
    {"top_p", kNumber, kBoth, in_beams(above(0, 1), 1), "the model's, else 1", to<&SamplingParams::top_p>},
    {"top_k", kInteger, kBoth, in_beams(between(-1, kMaxInt32), 0, -1), "the model's, else 0 (off)", set_top_k},
    {"min_p", kNumber, kBoth, in_beams(between(0, 1), 0), "0", to<&SamplingParams::min_p>},
    {"presence_penalty", kNumber, kBoth, in_beams(between(-2, 2), 0), "0", to<&SamplingParams::presence_penalty>},
    {"frequency_penalty", kNumber, kBoth, in_beams(between(-2, 2), 0), "0", to<&SamplingParams::frequency_penalty>},
    {"repetition_penalty", kNumber, kBoth, in_beams(between(0.0001, 100), 1), "the model's, else 1",
     to<&SamplingParams::repetition_penalty>},
    {"seed", kInteger, kBoth, between(kMinInt64, kMaxInt64), "random, as with -1", set_seed},
    {"priority", kInteger, kBoth, between(kMinInt32, kMaxInt32), "0", to<&ApiRequest::priority>},
    {"deadline_ms", kInteger, kBoth, between(1, kMaxTimeMs), "none", to<&ApiRequest::deadline_ms>},
    {"ttft_target_ms", kInteger, kBoth, between(1, kMaxTimeMs), "none", to<&ApiRequest::ttft_target_ms>},
    {"tpot_target_ms", kNumber, kBoth, above(0, kMaxTimeMs), "none", to<&ApiRequest::tpot_target_ms>},
    {"logit_bias", kTokenBiases, kBoth, at_most(1024, between(-100, 100)), "none", to<&SamplingParams::logit_bias>},
    {"bad_words", kTexts, kBoth, at_most(128, not_blank(between(1, 256))), "none", to<&ApiRequest::bad_words>},
    {"stop", kTextOrTexts, kBoth, at_most(1024, between(1, 1024)), "none", to<&ApiRequest::stop_strings>},
    {"stop_token_ids", kTokenIds, kBoth, at_most(256), "none", to<&StopParams::stop_token_ids>},
    {"allowed_token_ids", kTokenIds, kBoth, at_most(1 << 17), "all", to<&SamplingParams::allowed_token_ids>},
    {"speculative", kChoice, kBoth, one_of(kSpeculativeWords), "the server's", set_speculative},
    {"user", kText, kBoth, between(0, 256), "none", to<&ApiRequest::user>},
    {"request_id", kText, kBoth, between(1, 128), "random", to<&ApiRequest::request_id>},
    {"cache_salt", kText, kBoth, between(1, 256), "none", to<&ApiRequest::cache_salt>},
    {"logprobs", kInteger, kCompletions, between(-1, kMaxTokenCount), "none", set_logprobs<&ApiRequest::num_logprobs>},
    {"logprobs", kBoolean, kChat, {}, "false", to<&ApiRequest::logprobs>},
    {"top_logprobs", kInteger, kChat, between(-1, kMaxTokenCount), "0", set_logprobs<&ApiRequest::num_logprobs>},
    {"prompt_logprobs", kInteger, kBoth, between(-1, kMaxTokenCount), "none",
     set_logprobs<&GenerationParams::num_prompt_logprobs>},
    {"logprob_token_ids", kTokenIds, kBoth, at_most(1024), "none", to<&SamplingParams::logprob_token_ids>},
    {"return_token_ids", kBoolean, kBoth, {}, "false", to<&ApiRequest::return_token_ids>},
    {"return_tokens_as_token_ids", kBoolean, kBoth, {}, "false", to<&ApiRequest::tokens_as_ids>},
    {"detokenize", kBoolean, kBoth, {}, "true", to<&ApiRequest::detokenize>},
    {"ignore_eos", kBoolean, kBoth, {}, "false", to<&ApiRequest::ignore_eos>},
    {"include_stop_str_in_output", kBoolean, kBoth, {}, "false", to<&ApiRequest::include_stop>},
    {"skip_special_tokens", kBoolean, kBoth, {}, "true", to<&ApiRequest::skip_special_tokens>},
    {"echo", kBoolean, kCompletions, {}, "false", to<&ApiRequest::echo>},
    {"stream", kBoolean, kBoth, {}, "false", to<&ApiRequest::stream>},
    {"stream_options", kObject, kBoth, {}, "none", set_stream_options},
    {"stream_options.include_usage", kBoolean, kBoth, {}, "false", to<&ApiRequest::include_usage>},
    {"stream_options.continuous_usage_stats", kBoolean, kBoth, {}, "false", to<&ApiRequest::continuous_usage_stats>},
    {"reasoning_effort", kText, kChat, between(1, 64), "the template's", to<&ChatInput::reasoning_effort>},
    {"enable_thinking", kBoolean, kChat, {}, "the template's", to<&ChatInput::enable_thinking>},
    {"thinking_token_budget", kInteger, kChat, between(0, kMaxTokenCount), "none", to<&ThinkingParams::budget>},
    {"include_reasoning", kBoolean, kChat, {}, "true", to<&ChatInput::include_reasoning>},
    {"parallel_tool_calls", kBoolean, kChat, {}, "true", to<&ChatInput::parallel_tool_calls>},
    {"add_generation_prompt", kBoolean, kChat, {}, "true", to<&ChatInput::add_generation_prompt>},
    {"continue_final_message", kBoolean, kChat, {}, "false", to<&ChatInput::continue_final_message>},
};

constexpr std::string_view kOther = "It is not supported by this endpoint.";

// Ignoring one of these would silently answer another question than the one asked.
constexpr UnsupportedField kUnsupported[] = {
    {"suffix", "\"\""},
    {"functions", "[]"},
    {"function_call", "\"none\""},
    {"audio", ""},
    {"modalities", "[\"text\"]"},
    {"prediction", ""},
    {"web_search_options", ""},
    {"prompt_embeds", ""},
    {"truncate_prompt_tokens", ""},
    {"guided_whitespace_pattern", ""},
    {"stop_regex", ""},
    {"add_special_tokens", "true", kCompletions},
    {"add_special_tokens", "false", kChat},
    {"return_hidden_states", "false"},
    {"truncation_side", ""},
    {"thinking_token_budget", "", kCompletions, kOther},
    {"repetition_detection", ""},
    {"repeat_penalty", "1", kBoth, "It is not supported by this server; use repetition_penalty."},
    {"n_predict", "", kBoth, "It is not supported by this server; use max_tokens."},
    {"min_new_tokens", "0", kBoth, "It is not supported by this server; use min_tokens."},
    {"max_new_tokens", "", kBoth, "It is not supported by this server; use max_tokens."},
    {"typical_p", "1"},
    {"top_a", "0"},
    {"tfs_z", "1"},
    {"top_n_sigma", "-1"},
    {"mirostat", "0"},
    {"dynatemp_range", "0"},
    {"dry_multiplier", "0"},
    {"xtc_probability", "0"},
    {"samplers", ""},
    {"n_probs", "0", kBoth, "It is not supported by this server; use logprobs."},
    {"no_stop_trim", "false"},
    {"lora_path", ""},
    {"session_params", ""},
    {"custom_logit_processor", ""},
    {"kv_transfer_params", ""},
    {"documents", ""},
    {"chat_template", ""},
    {"logits_processors", ""},
    {"lora_request", ""},
    {"mm_processor_kwargs", ""},
    {"messages", "", kCompletions, kOther},
    {"tools", "[]", kCompletions, kOther},
    {"tool_choice", "\"none\"", kCompletions, kOther},
    {"max_completion_tokens", "", kCompletions, kOther},
    {"prompt", "", kChat, kOther},
    {"echo", "false", kChat, kOther},
};

constexpr std::string_view kHarmless[] = {"metadata",
                                          "store",
                                          "service_tier",
                                          "safety_identifier",
                                          "prompt_cache_key",
                                          "prompt_cache_retention",
                                          "separate_reasoning",
                                          "stream_reasoning",
                                          "spaces_between_special_tokens",
                                          "guided_decoding_backend",
                                          "cache_prompt",
                                          "timings_per_token",
                                          "keep_alive"};

}  // namespace

std::span<const std::string_view> harmless_fields() { return kHarmless; }

std::span<const Parameter> parameters() { return kParameters; }

std::span<const UnsupportedField> unsupported_fields() { return kUnsupported; }

}  // namespace caudal
