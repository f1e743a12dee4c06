#include "coordinator/gateway/api/parameters.h"

#include <limits>

#include "coordinator/gateway/api/chat_input.h"
#include "coordinator/gateway/api/limits.h"

namespace caudal {
namespace {

using Type = Parameter::Type;
using On = Parameter::On;
using Value = Parameter::Value;

constexpr double kMaxInt32 = std::numeric_limits<std::int32_t>::max();
constexpr double kMinInt32 = std::numeric_limits<std::int32_t>::min();
constexpr double kMaxTokenCount = 1 << 24;
constexpr double kMaxTimeMs = 86'400'000;  // a day
constexpr double kMinInt64 = -9223372036854775808.0;
constexpr double kMaxInt64 = 9223372036854775807.0;  // rounds to 2^63; integers beyond int64 fail before

std::int32_t narrow(Value value) { return static_cast<std::int32_t>(value.integer); }
float real(Value value) { return static_cast<float>(value.real); }

void set_max_tokens(ApiRequest& request, Value value) { request.max_tokens = narrow(value); }

// Dividing logits by less than this only overflows; it is greedy in all but name.
void set_temperature(ApiRequest& request, Value value) {
  request.params.sampling.temperature = value.real < 1e-5 ? 0.0F : real(value);
}

constexpr Parameter kParameters[] = {
    {"max_tokens", Type::kInteger, On::kBoth, 1, kMaxTokenCount, false, "16; chat: what the context leaves",
     set_max_tokens},
    {"max_completion_tokens", Type::kInteger, On::kChat, 1, kMaxTokenCount, false, "max_tokens", set_max_tokens},
    {"min_tokens", Type::kInteger, On::kBoth, 0, kMaxTokenCount, false, "0",
     [](ApiRequest& request, Value value) { request.params.stop.min_tokens = narrow(value); }},
    {"n", Type::kInteger, On::kBoth, 1, 64, false, "1",
     [](ApiRequest& request, Value value) { request.num_sequences = narrow(value); }},
    {"best_of", Type::kInteger, On::kCompletions, 1, 64, false, "n",
     [](ApiRequest& request, Value value) { request.best_of = narrow(value); }},
    {"use_beam_search", Type::kBoolean, On::kBoth, 0, 1, false, "false",
     [](ApiRequest& request, Value value) { request.use_beam_search = value.integer != 0; }},
    {"beam_width", Type::kInteger, On::kBoth, 1, kMaxBeams, false, "best_of, else n",
     [](ApiRequest& request, Value value) { request.beam_width = narrow(value); }},
    {"length_penalty", Type::kNumber, On::kBoth, -10, 10, false, "1",
     [](ApiRequest& request, Value value) { request.length_penalty = value.real; }},
    {"temperature", Type::kNumber, On::kBoth, 0, 100, false, "the model's, else 1", set_temperature},
    {"top_p", Type::kNumber, On::kBoth, 0, 1, true, "the model's, else 1",
     [](ApiRequest& request, Value value) { request.params.sampling.top_p = real(value); }},
    {"top_k", Type::kInteger, On::kBoth, -1, kMaxInt32, false, "the model's, else 0 (off)",
     [](ApiRequest& request, Value value) { request.params.sampling.top_k = value.integer < 0 ? 0 : narrow(value); }},
    {"min_p", Type::kNumber, On::kBoth, 0, 1, false, "0",
     [](ApiRequest& request, Value value) { request.params.sampling.min_p = real(value); }},
    {"presence_penalty", Type::kNumber, On::kBoth, -2, 2, false, "0",
     [](ApiRequest& request, Value value) { request.params.sampling.presence_penalty = real(value); }},
    {"frequency_penalty", Type::kNumber, On::kBoth, -2, 2, false, "0",
     [](ApiRequest& request, Value value) { request.params.sampling.frequency_penalty = real(value); }},
    {"repetition_penalty", Type::kNumber, On::kBoth, 0, 100, true, "the model's, else 1",
     [](ApiRequest& request, Value value) { request.params.sampling.repetition_penalty = real(value); }},
    {"seed", Type::kInteger, On::kBoth, kMinInt64, kMaxInt64, false, "random",
     [](ApiRequest& request, Value value) { request.seed = static_cast<std::uint64_t>(value.integer); }},
    {"priority", Type::kInteger, On::kBoth, kMinInt32, kMaxInt32, false, "0",
     [](ApiRequest& request, Value value) { request.priority = narrow(value); }},
    {"deadline_ms", Type::kInteger, On::kBoth, 1, kMaxTimeMs, false, "none",
     [](ApiRequest& request, Value value) { request.deadline_ms = value.integer; }},
    {"ttft_target_ms", Type::kInteger, On::kBoth, 1, kMaxTimeMs, false, "none",
     [](ApiRequest& request, Value value) { request.ttft_target_ms = value.integer; }},
    {"tpot_target_ms", Type::kNumber, On::kBoth, 0, kMaxTimeMs, true, "none",
     [](ApiRequest& request, Value value) { request.tpot_target_ms = value.real; }},
    {"logprobs", Type::kInteger, On::kCompletions, 0, 20, false, "none",
     [](ApiRequest& request, Value value) { request.num_logprobs = narrow(value); }},
    {"logprobs", Type::kBoolean, On::kChat, 0, 1, false, "false",
     [](ApiRequest& request, Value value) { request.logprobs = value.integer != 0; }},
    {"top_logprobs", Type::kInteger, On::kChat, 0, 20, false, "0",
     [](ApiRequest& request, Value value) { request.num_logprobs = narrow(value); }},
    {"ignore_eos", Type::kBoolean, On::kBoth, 0, 1, false, "false",
     [](ApiRequest& request, Value value) { request.ignore_eos = value.integer != 0; }},
    {"include_stop_str_in_output", Type::kBoolean, On::kBoth, 0, 1, false, "false",
     [](ApiRequest& request, Value value) { request.include_stop = value.integer != 0; }},
    {"skip_special_tokens", Type::kBoolean, On::kBoth, 0, 1, false, "true",
     [](ApiRequest& request, Value value) { request.skip_special_tokens = value.integer != 0; }},
    {"echo", Type::kBoolean, On::kCompletions, 0, 1, false, "false",
     [](ApiRequest& request, Value value) { request.echo = value.integer != 0; }},
    {"stream", Type::kBoolean, On::kBoth, 0, 1, false, "false",
     [](ApiRequest& request, Value value) { request.stream = value.integer != 0; }},
    {"add_generation_prompt", Type::kBoolean, On::kChat, 0, 1, false, "true",
     [](ApiRequest& request, Value value) { request.chat->add_generation_prompt = value.integer != 0; }},
    {"continue_final_message", Type::kBoolean, On::kChat, 0, 1, false, "false",
     [](ApiRequest& request, Value value) { request.chat->continue_final_message = value.integer != 0; }},
};

// Ignoring one of these would silently answer another question than the one asked.
constexpr UnsupportedField kUnsupported[] = {
    {"suffix", "\"\""},
    {"functions", "[]"},
    {"function_call", "\"none\""},
    {"audio", ""},
    {"modalities", "[\"text\"]"},
    {"prediction", ""},
    {"web_search_options", ""},
    {"prompt_logprobs", ""},
    {"prompt_embeds", ""},
    {"truncate_prompt_tokens", ""},
    {"allowed_token_ids", ""},
    {"guided_json", ""},
    {"guided_regex", ""},
    {"guided_choice", ""},
    {"guided_grammar", ""},
    {"structured_outputs", ""},
    {"documents", ""},
    {"chat_template", ""},
    {"logits_processors", ""},
    {"lora_request", ""},
    {"mm_processor_kwargs", ""},
    {"messages", "", On::kCompletions},
    {"tools", "[]", On::kCompletions},
    {"tool_choice", "\"none\"", On::kCompletions},
    {"max_completion_tokens", "", On::kCompletions},
    {"prompt", "", On::kChat},
    {"echo", "false", On::kChat},
};

}  // namespace

std::span<const Parameter> parameters() { return kParameters; }

std::span<const UnsupportedField> unsupported_fields() { return kUnsupported; }

}  // namespace caudal
