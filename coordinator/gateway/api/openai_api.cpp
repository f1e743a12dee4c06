#include "coordinator/gateway/api/openai_api.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cctype>
#include <charconv>

#include "common/json/json_node.h"
#include "common/json/strict_json.h"
#include "coordinator/gateway/api/chat_input.h"
#include "coordinator/gateway/api/limits.h"
#include "coordinator/gateway/api/openai_beam.h"
#include "coordinator/gateway/api/openai_chat.h"
#include "coordinator/gateway/api/openai_logprobs.h"
#include "coordinator/gateway/api/output_shape.h"
#include "coordinator/gateway/api/parameter_value.h"
#include "coordinator/gateway/api/parameters.h"

namespace caudal {
namespace {

namespace json = boost::json;

bool is_neutral(const json::value& value, std::string_view neutral) {
  if (!value.is_number() || neutral.empty()) return json::serialize(value) == neutral;
  double wanted = 0.0;  // however a client writes it
  const auto [end, failed] = std::from_chars(neutral.data(), neutral.data() + neutral.size(), wanted);
  return failed == std::errc() && end == neutral.data() + neutral.size() && value.to_number<double>() == wanted;
}

void refuse_unsupported(const JsonNode& body, Endpoint endpoint) {
  for (const UnsupportedField& field : unsupported_fields()) {
    if (!applies(field.on, endpoint)) continue;
    const std::optional<JsonNode> node = body.find(field.name);
    if (node && !is_neutral(node->value(), field.neutral)) node->fail(std::string(field.problem));
  }
}

// "object.member" is the member of an object, which has its own row before.
std::optional<JsonNode> find_parameter(const JsonNode& body, std::string_view name) {
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos) return body.find(name);
  const std::optional<JsonNode> object = body.find(name.substr(0, dot));
  return object ? object->find(name.substr(dot + 1)) : std::nullopt;
}

void take_parameters(const JsonNode& body, std::int32_t vocab_size, ApiRequest& request) {
  for (const Parameter& parameter : parameters()) {
    if (!applies(parameter.on, request.endpoint)) continue;
    if (const std::optional<JsonNode> node = find_parameter(body, parameter.name)) {
      Parameter::Value value = check_value(parameter, *node, vocab_size);
      parameter.set(request, value);
    } else if (parameter.required) {
      body.fail_at(parameter.name, "It is required.");
    }
  }
}

bool is_known(std::string_view name) {
  constexpr std::string_view kConversation[] = {"messages", "tools", "tool_choice", "chat_template_kwargs"};
  const auto holds = [&](const auto& list) { return std::ranges::find(list, name) != std::end(list); };
  if (holds(output_shape_fields())) return true;
  const auto named = [&](const auto& row) { return row.name == name; };
  return holds(kConversation) || holds(harmless_fields()) || std::ranges::any_of(parameters(), named) ||
         std::ranges::any_of(unsupported_fields(), named);
}

// For a response header: no more and no others than fit there.
std::vector<std::string> unknown_fields(const json::object& body) {
  constexpr std::size_t kMost = 16;
  constexpr std::size_t kMostBytes = 64;
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.'; };
  std::vector<std::string> unknown;
  for (const auto& member : body) {
    const std::string_view name = member.key();
    const bool printable = !name.empty() && name.size() <= kMostBytes && std::ranges::all_of(name, plain);
    if (printable && unknown.size() < kMost && !is_known(name)) unknown.emplace_back(name);
  }
  return unknown;
}

// What the model's files say about sampling does not count: only what the client asked for.
void refuse_sampling(const JsonNode& body) {
  for (const Parameter& parameter : parameters()) {
    const auto& neutral = parameter.bounds.beam;
    const std::optional<JsonNode> node = neutral ? body.find(parameter.name) : std::nullopt;
    if (!node || std::ranges::find(*neutral, node->number()) != neutral->end()) continue;
    node->fail(fmt::format("A beam search does not sample: it must be {}.", neutral->front()));
  }
}

Result<void> settle_best_of(ApiRequest& request) {
  const char* field = request.best_of > 0 ? "best_of" : "n";
  if (request.best_of == 0) request.best_of = request.num_sequences;
  if (request.best_of < request.num_sequences) return Error{"It must be at least n.", "best_of"};
  if (request.best_of > request.num_sequences && request.stream) {
    return Error{"More than n cannot be streamed: the best are known at the end.", "best_of"};
  }
  if (std::ssize(request.prompts) * request.best_of <= kMaxChoices) return {};
  return Error{fmt::format("Prompts times {} must be at most {}.", field, kMaxChoices), field};
}

// What depends on several fields.
Result<void> settle_together(ApiRequest& request, const ApiContext& context) {
  if (request.has_stream_options && !request.stream) {
    return Error{"It is only allowed when stream is true.", "stream_options"};
  }
  if (request.endpoint == Endpoint::kChat) {
    const std::int32_t best_of = std::exchange(request.best_of, 0);
    if (best_of > 0 && best_of != request.num_sequences) return Error{"In a chat it must be equal to n.", "best_of"};
  }
  if (!request.detokenize && !request.stop_strings.empty()) return Error{"It needs detokenize to be true.", "stop"};
  const auto logprobs = settle_logprobs(request, context.vocab_size, context.max_logprobs);
  if (!logprobs) return logprobs.error();
  if (request.max_tokens && request.params.stop.min_tokens > *request.max_tokens) {
    return Error{"It must be at most max_tokens.", "min_tokens"};
  }
  if (request.ignore_eos && request.params.sampling.grammar.kind != GrammarKind::kNone &&
      !request.params.stop.stop_token_ids.empty()) {
    return Error{"With ignore_eos, an output with a shape ends where the shape does.", "stop_token_ids"};
  }
  if (const auto done = settle_beam_search(request); !done) return done.error();
  return request.beam ? Result<void>() : settle_best_of(request);
}

}  // namespace

Result<json::value> parse_body(std::string_view text) {
  Result<json::value> body = parse_strict_json(text);
  if (!body) return Error{fmt::format("The body is {}.", body.error().message), body.error().field};
  return body;
}

Result<std::string> requested_model(const json::value& body) {
  const Parameter& parameter = *std::ranges::find(parameters(), std::string_view("model"), &Parameter::name);
  try {
    const std::optional<JsonNode> node = body.is_object() ? JsonNode(body).find(parameter.name) : std::nullopt;
    return node ? check_value(parameter, *node, 0).texts.front() : "";
  } catch (const JsonError& error) {
    return Error{error.message, error.path};
  }
}

Result<ApiRequest> parse_api_request(Endpoint endpoint, json::value body, const ApiContext& context) {
  if (!body.is_object()) return Error{"The body must be a JSON object.", ""};
  ApiRequest request;
  request.endpoint = endpoint;
  if (endpoint == Endpoint::kChat) request.chat = std::make_unique<ChatInput>();
  request.params.sampling = context.default_sampling;
  try {
    const JsonNode node(body);
    refuse_unsupported(node, endpoint);
    take_parameters(node, context.vocab_size, request);
    take_output_shape(node, request);
    request.ignored_fields = unknown_fields(body.get_object());
    if (request.use_beam_search) refuse_sampling(node);
    if (request.chat != nullptr) take_chat_input(body, *request.chat);
  } catch (const JsonError& error) {
    return Error{error.message, error.path};
  }
  if (const auto done = settle_together(request, context); !done) return done.error();
  return request;
}

}  // namespace caudal
