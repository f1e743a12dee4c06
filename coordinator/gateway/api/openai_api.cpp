#include "coordinator/gateway/api/openai_api.h"

#include <fmt/core.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "common/json/json_node.h"
#include "common/json/strict_json.h"
#include "coordinator/gateway/api/chat_input.h"
#include "coordinator/gateway/api/limits.h"
#include "coordinator/gateway/api/openai_beam.h"
#include "coordinator/gateway/api/openai_chat.h"
#include "coordinator/gateway/api/parameters.h"
#include "coordinator/gateway/api/present.h"
#include "coordinator/request/speculative_modes.h"

namespace caudal {
namespace {

namespace json = boost::json;

// --- Scalars: the table of parameters.h ---

std::string type_problem(const Parameter& parameter) {
  switch (parameter.type) {
    case Parameter::Type::kInteger:
      return "It must be an integer";
    case Parameter::Type::kNumber:
      return "It must be a number";
    case Parameter::Type::kBoolean:
      break;
  }
  return "It must be true or false";
}

// The bounds of integers are integers in people's eyes, although the table holds 2^63 for the largest one.
std::string bound_text(const Parameter& parameter, double bound) {
  if (parameter.type != Parameter::Type::kInteger) return fmt::format("{}", bound);
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  return fmt::format("{}", bound >= static_cast<double>(kLargest) ? kLargest : static_cast<std::int64_t>(bound));
}

Error scalar_error(const Parameter& parameter) {
  std::string message = type_problem(parameter);
  if (parameter.type != Parameter::Type::kBoolean) {
    message += fmt::format(" {} {} and at most {}", parameter.above_min ? "above" : "of at least",
                           bound_text(parameter, parameter.min), bound_text(parameter, parameter.max));
  }
  return Error{message + ".", std::string(parameter.name)};
}

// Whole numbers written as 5.0 count as integers, as they do in JavaScript and in JSON Schema.
std::optional<std::int64_t> as_integer(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  if (!value.is_double()) return std::nullopt;
  const double real = value.get_double();
  if (!(std::fabs(real) <= 9007199254740992.0) || real != std::floor(real)) return std::nullopt;
  return static_cast<std::int64_t>(real);
}

Result<Parameter::Value> check_scalar(const Parameter& parameter, const json::value& value) {
  Parameter::Value checked;
  if (parameter.type == Parameter::Type::kBoolean) {
    if (!value.is_bool()) return scalar_error(parameter);
    checked.integer = value.get_bool() ? 1 : 0;
    return checked;
  }
  if (parameter.type == Parameter::Type::kInteger) {
    const std::optional<std::int64_t> integer = as_integer(value);
    if (!integer) return scalar_error(parameter);
    checked.integer = *integer;
    checked.real = static_cast<double>(*integer);
  } else {
    if (!value.is_number()) return scalar_error(parameter);
    checked.real = value.to_number<double>();
  }
  // As the worker will hold it: (0, 1] must not become 0 when narrowed.
  const bool high_enough = parameter.above_min ? static_cast<float>(checked.real) > static_cast<float>(parameter.min)
                                               : checked.real >= parameter.min;
  if (!high_enough || !(checked.real <= parameter.max)) return scalar_error(parameter);  // NaN fails here, too
  return checked;
}

Result<void> parse_scalars(const json::object& body, ApiRequest& request) {
  const auto other = request.endpoint == Endpoint::kChat ? Parameter::On::kCompletions : Parameter::On::kChat;
  for (const Parameter& parameter : parameters()) {
    if (parameter.on == other) continue;
    const json::value* value = present(body, parameter.name);
    if (value == nullptr) continue;
    const Result<Parameter::Value> checked = check_scalar(parameter, *value);
    if (!checked) return checked.error();
    parameter.set(request, checked.value());
  }
  return {};
}

// --- Lists and texts ---

Result<std::vector<TokenId>> parse_token_ids(const json::array& ids, std::int32_t vocab_size, const std::string& path) {
  std::vector<TokenId> tokens;
  tokens.reserve(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::optional<std::int64_t> id = as_integer(ids[i]);
    if (!id || *id < 0 || *id >= vocab_size) {
      return Error{fmt::format("A token id must be an integer of at least 0 and below {}.", vocab_size),
                   fmt::format("{}[{}]", path, i)};
    }
    tokens.push_back(static_cast<TokenId>(*id));
  }
  return tokens;
}

// A string or a list of token ids; not empty.
Result<Prompt> parse_one_prompt(const json::value& value, std::int32_t vocab_size, const std::string& path) {
  if (value.is_string()) {
    if (value.get_string().empty()) return Error{"The prompt is empty.", path};
    return Prompt(std::string(value.get_string()));
  }
  if (!value.is_array()) return Error{"A prompt must be a string or a list of token ids.", path};
  if (value.get_array().empty()) return Error{"The prompt is empty.", path};
  Result<std::vector<TokenId>> tokens = parse_token_ids(value.get_array(), vocab_size, path);
  if (!tokens) return tokens.error();
  return Prompt(std::move(tokens).value());
}

Result<void> parse_prompts(const json::object& body, std::int32_t vocab_size, ApiRequest& request) {
  const json::value* prompt = present(body, "prompt");
  if (prompt == nullptr) return Error{"It is required.", "prompt"};
  const bool many = prompt->is_array() && !prompt->get_array().empty() &&
                    (prompt->get_array()[0].is_string() || prompt->get_array()[0].is_array());
  if (!many) {
    Result<Prompt> one = parse_one_prompt(*prompt, vocab_size, "prompt");
    if (!one) return one.error();
    request.prompts.push_back(std::move(one).value());
    return {};
  }
  const json::array& list = prompt->get_array();
  if (list.size() > kMaxPrompts) return Error{fmt::format("At most {} prompts are allowed.", kMaxPrompts), "prompt"};
  for (std::size_t i = 0; i < list.size(); ++i) {
    Result<Prompt> one = parse_one_prompt(list[i], vocab_size, fmt::format("prompt[{}]", i));
    if (!one) return one.error();
    request.prompts.push_back(std::move(one).value());
  }
  return {};
}

Result<void> add_stop_string(const json::value& value, const std::string& path, ApiRequest& request) {
  if (!value.is_string() || value.get_string().empty() || value.get_string().size() > kMaxStopStringBytes) {
    return Error{fmt::format("A stop sequence must be a string of 1 to {} bytes.", kMaxStopStringBytes), path};
  }
  request.stop_strings.emplace_back(value.get_string());
  return {};
}

Result<void> parse_stops(const json::object& body, std::int32_t vocab_size, ApiRequest& request) {
  if (const json::value* stop = present(body, "stop")) {
    if (!stop->is_array()) {
      const Result<void> added = add_stop_string(*stop, "stop", request);
      if (!added) return added.error();
    } else {
      const json::array& list = stop->get_array();
      if (list.size() > kMaxStopStrings) {
        return Error{fmt::format("At most {} stop sequences are allowed.", kMaxStopStrings), "stop"};
      }
      for (std::size_t i = 0; i < list.size(); ++i) {
        const Result<void> added = add_stop_string(list[i], fmt::format("stop[{}]", i), request);
        if (!added) return added.error();
      }
    }
  }
  const json::value* ids = present(body, "stop_token_ids");
  if (ids == nullptr) return {};
  if (!ids->is_array() || ids->get_array().size() > kMaxStopTokenIds) {
    return Error{fmt::format("It must be a list of at most {} token ids.", kMaxStopTokenIds), "stop_token_ids"};
  }
  Result<std::vector<TokenId>> tokens = parse_token_ids(ids->get_array(), vocab_size, "stop_token_ids");
  if (!tokens) return tokens.error();
  request.params.stop.stop_token_ids = std::move(tokens).value();
  return {};
}

Result<void> parse_bad_words(const json::object& body, ApiRequest& request) {
  const json::value* words = present(body, "bad_words");
  if (words == nullptr) return {};
  if (!words->is_array() || words->get_array().size() > kMaxBadWords) {
    return Error{fmt::format("It must be a list of at most {} strings.", kMaxBadWords), "bad_words"};
  }
  for (const json::value& value : words->get_array()) {
    const std::string_view word = value.is_string() ? std::string_view(value.get_string()) : std::string_view();
    if (word.find_first_not_of(' ') == std::string_view::npos || word.size() > kMaxBadWordBytes) {
      return Error{fmt::format("A bad word must be a string of 1 to {} bytes, and more than spaces.", kMaxBadWordBytes),
                   fmt::format("bad_words[{}]", request.bad_words.size())};
    }
    request.bad_words.emplace_back(word);
  }
  return {};
}

Result<void> parse_logit_bias(const json::object& body, std::int32_t vocab_size, ApiRequest& request) {
  const json::value* bias = present(body, "logit_bias");
  if (bias == nullptr) return {};
  if (!bias->is_object() || bias->get_object().size() > kMaxLogitBias) {
    return Error{fmt::format("It must be an object of at most {} token ids.", kMaxLogitBias), "logit_bias"};
  }
  std::set<TokenId> seen;  // "7" and "007" are different keys and the same token
  for (const auto& [key, value] : bias->get_object()) {
    TokenId token = -1;
    const auto [end, failed] = std::from_chars(key.data(), key.data() + key.size(), token);
    const bool whole = failed == std::errc() && end == key.data() + key.size();
    if (!whole || token < 0 || token >= vocab_size || !seen.insert(token).second) {
      return Error{fmt::format("A key must be a token id of at least 0 and below {}, each once.", vocab_size),
                   "logit_bias"};
    }
    const double amount = value.is_number() ? value.to_number<double>() : std::nan("");
    if (!(std::fabs(amount) <= kMaxLogitBiasValue)) {
      return Error{fmt::format("A bias must be a number of at least {} and at most {}.", -kMaxLogitBiasValue,
                               kMaxLogitBiasValue),
                   "logit_bias"};
    }
    request.params.sampling.logit_bias.push_back({token, static_cast<float>(amount)});
  }
  return {};
}

Result<void> parse_stream_options(const json::object& body, ApiRequest& request) {
  const json::value* options = present(body, "stream_options");
  if (options == nullptr) return {};
  if (!options->is_object()) return Error{"It must be an object.", "stream_options"};
  if (!request.stream) return Error{"It is only allowed when stream is true.", "stream_options"};
  const auto flag = [&](std::string_view name, bool& target) -> Result<void> {
    const json::value* value = present(options->get_object(), name);
    if (value == nullptr) return {};
    if (!value->is_bool()) return Error{"It must be true or false.", fmt::format("stream_options.{}", name)};
    target = value->get_bool();
    return {};
  };
  const Result<void> usage = flag("include_usage", request.include_usage);
  if (!usage) return usage.error();
  return flag("continuous_usage_stats", request.continuous_usage_stats);
}

// --- Fields that must not be misunderstood ---

Result<void> refuse_unsupported(const json::object& body, Endpoint endpoint) {
  const auto other = endpoint == Endpoint::kChat ? Parameter::On::kCompletions : Parameter::On::kChat;
  for (const UnsupportedField& field : unsupported_fields()) {
    if (field.on == other) continue;
    const json::value* value = present(body, field.name);
    if (value == nullptr || json::serialize(*value) == field.neutral) continue;
    const char* problem = field.on == Parameter::On::kBoth ? "It is not supported by this server."
                                                           : "It is not supported by this endpoint.";
    return Error{problem, std::string(field.name)};
  }
  const json::value* format = present(body, "response_format");
  if (format == nullptr) return {};
  const json::object* object = format->if_object();
  const json::value* type = object == nullptr ? nullptr : present(*object, "type");
  if (type == nullptr || !type->is_string() || type->get_string() != "text") {
    return Error{"Only the type 'text' is supported.", "response_format"};
  }
  return {};
}

Result<void> parse_model(const json::object& body, ApiRequest& request) {
  const json::value* model = present(body, "model");
  if (model == nullptr) return {};
  if (!model->is_string() || model->get_string().empty() || model->get_string().size() > kMaxNameBytes) {
    return Error{fmt::format("It must be a string of 1 to {} bytes.", kMaxNameBytes), "model"};
  }
  request.model = model->get_string();
  return {};
}

// As in vLLM: not empty when given.
Result<void> parse_cache_salt(const json::object& body, ApiRequest& request) {
  const json::value* salt = present(body, "cache_salt");
  if (salt == nullptr) return {};
  if (!salt->is_string() || salt->get_string().empty() || salt->get_string().size() > kMaxCacheSaltBytes) {
    return Error{fmt::format("It must be a string of 1 to {} bytes.", kMaxCacheSaltBytes), "cache_salt"};
  }
  request.cache_salt = salt->get_string();
  return {};
}

Result<void> check_best_of(const json::object& body, ApiRequest& request) {
  const json::value* best_of = present(body, "best_of");
  if (request.best_of == 0) request.best_of = request.num_sequences;
  if (request.best_of < request.num_sequences) return Error{"It must be at least n.", "best_of"};
  if (request.best_of > request.num_sequences && request.stream) {
    return Error{"More than n cannot be streamed: the best are known at the end.", "best_of"};
  }
  if (request.prompts.size() * static_cast<std::size_t>(request.best_of) <= kMaxChoices) return {};
  const char* field = best_of == nullptr ? "n" : "best_of";
  return Error{fmt::format("Prompts times {} must be at most {}.", field, kMaxChoices), field};
}

Result<void> parse_speculative(const json::object& body, ApiRequest& request) {
  const json::value* value = present(body, "speculative");
  if (value == nullptr) return {};
  for (const auto& [name, mode] : kSpeculativeModes) {
    if (value->is_string() && value->get_string() == name) request.params.speculative = mode;
  }
  if (!request.params.speculative) return Error{"It must be 'off', 'ngram', 'draft' or 'auto'.", "speculative"};
  return {};
}

Result<void> parse_user(const json::object& body, ApiRequest& request) {
  const json::value* user = present(body, "user");
  if (user == nullptr) return {};
  if (!user->is_string() || user->get_string().size() > kMaxNameBytes) {
    return Error{fmt::format("It must be a string of at most {} bytes.", kMaxNameBytes), "user"};
  }
  request.user = user->get_string();
  return {};
}

Result<void> parse_chat(json::value& body, ChatInput& chat) {
  try {
    take_chat_input(body, chat);
    return {};
  } catch (const JsonError& error) {
    return Error{error.message, error.path};
  }
}

// What depends on several fields.
Result<void> check_together(const json::object& body, ApiRequest& request) {
  if (request.endpoint == Endpoint::kChat) {
    if (request.num_logprobs > 0 && !request.logprobs) return Error{"It needs logprobs to be true.", "top_logprobs"};
    request.num_logprobs = request.logprobs ? std::max(request.num_logprobs, 0) : -1;
  } else if (request.echo && request.num_logprobs >= 0) {
    return Error{"Together with echo it would need the prompt's logprobs, which are not supported.", "logprobs"};
  }
  request.params.sampling.num_logprobs = request.num_logprobs;
  const json::value* best_of = present(body, "best_of");
  if (request.endpoint == Endpoint::kChat && best_of != nullptr && as_integer(*best_of) != request.num_sequences) {
    return Error{"In a chat it must be equal to n.", "best_of"};
  }
  if (request.max_tokens && request.params.stop.min_tokens > *request.max_tokens) {
    return Error{"It must be at most max_tokens.", "min_tokens"};
  }
  if (const auto done = parse_beam_search(body, request); !done) return done.error();
  return request.beam ? Result<void>() : check_best_of(body, request);
}

}  // namespace

Result<json::value> parse_body(std::string_view text) {
  Result<json::value> body = parse_strict_json(text);
  if (!body) return Error{fmt::format("The body is {}.", body.error().message), body.error().field};
  return body;
}

Result<ApiRequest> parse_api_request(Endpoint endpoint, json::value body, const ApiContext& context) {
  if (!body.is_object()) return Error{"The body must be a JSON object.", ""};
  const json::object& object = body.get_object();
  ApiRequest request;
  request.endpoint = endpoint;
  if (endpoint == Endpoint::kChat) request.chat = std::make_unique<ChatInput>();
  request.params.sampling = context.default_sampling;
  if (const auto done = parse_model(object, request); !done) return done.error();
  if (const auto done = parse_cache_salt(object, request); !done) return done.error();
  if (const auto done = parse_user(object, request); !done) return done.error();
  if (const auto done = refuse_unsupported(object, endpoint); !done) return done.error();
  if (const auto done = parse_scalars(object, request); !done) return done.error();
  if (endpoint == Endpoint::kChat) {
    if (const auto done = parse_chat(body, *request.chat); !done) return done.error();
  } else {
    if (const auto done = parse_prompts(object, context.vocab_size, request); !done) return done.error();
  }
  if (const auto done = parse_stops(object, context.vocab_size, request); !done) return done.error();
  if (const auto done = parse_logit_bias(object, context.vocab_size, request); !done) return done.error();
  if (const auto done = parse_bad_words(object, request); !done) return done.error();
  if (const auto done = parse_stream_options(object, request); !done) return done.error();
  if (const auto done = parse_speculative(object, request); !done) return done.error();
  if (const auto done = check_together(object, request); !done) return done.error();
  return request;
}

}  // namespace caudal
