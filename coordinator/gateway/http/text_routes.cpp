#include "coordinator/gateway/http/text_routes.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "common/json/json_node.h"
#include "coordinator/gateway/api/anthropic_messages.h"
#include "coordinator/gateway/api/chat_input.h"
#include "coordinator/gateway/api/openai_api.h"
#include "coordinator/gateway/generation/gateway_models.h"

namespace caudal {
namespace {

namespace json = boost::json;

RouteAnswer refuse(const Error& error) { return {.error = invalid_request(error)}; }

// Takes a member out of the body. Throws JsonError unless it is a boolean.
bool take_flag(json::object& body, std::string_view name, bool fallback) {
  const json::value own(body);
  const bool value = JsonNode(own).flag(name, fallback);
  body.erase(name);
  return value;
}

Result<std::vector<TokenId>> encode(const GatewayModel& model, json::value body) {
  json::object& fields = body.as_object();
  const bool is_chat = fields.contains("messages");
  if (json::value* content = fields.if_contains("content")) {
    json::value text = std::move(*content);
    fields.erase("content");
    fields["prompt"] = std::move(text);
    fields.emplace("add_special_tokens", false);
  }
  if (const json::value* special = fields.if_contains("add_special"); special != nullptr && special->is_bool())
    fields["add_special_tokens"] = *special;
  const bool adds_special = take_flag(fields, "add_special_tokens", !is_chat);
  const ApiContext limits{static_cast<std::int32_t>(model.context.card.vocab_size), {}};
  Result<ApiRequest> request =
      parse_api_request(is_chat ? Endpoint::kChat : Endpoint::kCompletions, std::move(body), limits);
  if (!request) return request.error();
  if (is_chat) return model.encoder.encode_chat(std::move(*request.value().chat));
  if (request.value().prompts.size() != 1) return Error{"It must be one text.", "prompt"};
  const Prompt& prompt = request.value().prompts.front();
  if (const auto* tokens = std::get_if<std::vector<TokenId>>(&prompt)) return *tokens;
  return model.context.tokenizer->encode(std::get<std::string>(prompt), {.add_special_tokens = adds_special});
}

std::string answer_text(const GenerationContext& context, const GatewayModel& model, std::span<const TokenId> tokens,
                        bool with_strings) {
  json::object answer{{"count", tokens.size()},
                      {"max_model_len", served_context_tokens(context.service, model)},
                      {"tokens", json::array(tokens.begin(), tokens.end())},
                      {"token_strs", nullptr}};
  if (with_strings) {
    json::array& strings = answer["token_strs"].emplace_array();
    for (const TokenId token : tokens) {
      const auto text = model.context.tokenizer->id_to_token(token);
      strings.push_back(text ? json::value(*text) : json::value(nullptr));
    }
  }
  return json::serialize(answer);
}

// Calls answer(model, fields) for a body that is an object and names a served model.
template <typename Answer>
RouteAnswer with_model(const GenerationContext& context, json::value body, Answer&& answer) {
  if (!body.is_object()) return refuse({"The body must be a JSON object.", ""});
  try {
    const Result<std::string> name = requested_model(body);
    if (!name) return refuse(name.error());
    const GatewayModel* model = context.models.find(name.value());
    if (model == nullptr) return {.error = model_not_found()};
    return answer(*model, std::move(body));
  } catch (const JsonError& error) {
    return refuse({error.message, error.path});
  }
}

}  // namespace

RouteAnswer tokenize(const GenerationContext& context, json::value body) {
  return with_model(context, std::move(body), [&](const GatewayModel& model, json::value fields) -> RouteAnswer {
    const bool with_strings = take_flag(fields.as_object(), "return_token_strs", false);
    const Result<std::vector<TokenId>> tokens = encode(model, std::move(fields));
    if (!tokens) return refuse(tokens.error());
    return {.body = answer_text(context, model, tokens.value(), with_strings)};
  });
}

RouteAnswer count_message_tokens(const GenerationContext& context, json::value body) {
  return with_model(context, std::move(body), [&](const GatewayModel& model, const json::value& fields) -> RouteAnswer {
    const Result<json::value> chat = chat_body_of_messages(fields, false);
    if (!chat) return refuse(chat.error());
    const Result<std::vector<TokenId>> tokens = encode(model, chat.value());
    if (!tokens) return refuse(tokens.error());
    return {.body = json::serialize(json::object{{"input_tokens", tokens.value().size()}})};
  });
}

RouteAnswer detokenize(const GenerationContext& context, json::value body) {
  return with_model(context, std::move(body), [&](const GatewayModel& model, const json::value& fields) -> RouteAnswer {
    const JsonNode list = JsonNode(fields).at("tokens");
    std::vector<TokenId> tokens;
    for (std::size_t i = 0; i < list.size(); ++i)
      tokens.push_back(static_cast<TokenId>(list.at(i).integer(0, model.context.card.vocab_size - 1)));
    const std::string text = model.context.tokenizer->decode(tokens, false);
    return {.body = json::serialize(json::object{{"prompt", text}, {"content", text}})};
  });
}

}  // namespace caudal
