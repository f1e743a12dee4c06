// A JSON body in OpenAI's request format -> a checked ApiRequest. The one validation path of both gateways: the
// ZeroMQ gateway turns its typed messages into the same JSON first (proto_json). Pure, any thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <string_view>

#include "common/result.h"
#include "coordinator/gateway/api/api_request.h"
#include "coordinator/gateway/api/limits.h"

namespace caudal {

// What checking needs to know of the model.
struct ApiContext {
  std::int32_t vocab_size = 0;
  SamplingParams default_sampling;                  // from generation_config.json
  std::int32_t max_logprobs = kDefaultMaxLogprobs;  // -1: any number
};

// The JSON of a body (see parse_strict_json).
Result<boost::json::value> parse_body(std::string_view text);

// The member `model` of a body, checked: what the other members are checked against is that model's. "" when absent.
Result<std::string> requested_model(const boost::json::value& body);

// Every Error names the field, with its path ("messages[1].content"), and never repeats what the client sent.
// Fields this server knows but cannot honour are refused (parameters.h), unknown ones are ignored, and the first few
// that have plain names are listed; null means absent. A conversation is moved out of the body, not copied. Whether
// `model` is served (as `context`), and whether the prompt fits the context, are the caller's questions.
Result<ApiRequest> parse_api_request(Endpoint endpoint, boost::json::value body, const ApiContext& context);

}  // namespace caudal
