// Requests as the gateway's parser sees them, for a model of 1,000 tokens.
#pragma once

#include <boost/json/value.hpp>
#include <string_view>

#include "common/json/strict_json.h"
#include "coordinator/gateway/api/openai_api.h"

namespace caudal {

namespace json = boost::json;

inline constexpr std::int32_t kVocab = 1000;

inline Result<ApiRequest> parse(Endpoint endpoint, const json::value& body) {
  return parse_api_request(endpoint, body, {kVocab, {}});
}

inline Result<ApiRequest> parse_text(Endpoint endpoint, std::string_view body) {
  const auto value = parse_strict_json(body);
  if (!value) return value.error();
  return parse(endpoint, value.value());
}

// A body with nothing but its prompt.
inline json::object base(Endpoint endpoint) {
  if (endpoint == Endpoint::kCompletions) return {{"prompt", "Hi"}};
  json::object message{{"role", "user"}, {"content", "Hi"}};
  return {{"messages", json::array{message}}};
}

}  // namespace caudal
