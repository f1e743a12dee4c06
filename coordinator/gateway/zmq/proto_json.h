// A typed request of gateway.proto -> the JSON object that the same request is over HTTP, so that both are checked by
// the same code. Generic over the message's fields: what gateway.proto gains, this carries. Pure, any thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <string_view>

#include "common/result.h"

namespace google::protobuf {
class Message;
}

namespace caudal {

// `parameters` is merged into its parent and `num_logprobs` becomes `logprobs`. Errors: a NUL in a string or a
// number that JSON cannot say inside a Struct; the same verdict as strict_json's.
Result<boost::json::value> proto_to_json(const google::protobuf::Message& request);

// Parses a message of at most 32 levels. Nothing when it is malformed or its strings are not UTF-8.
bool parse_bounded(std::string_view bytes, google::protobuf::Message& message);

// The tag of a GatewayRequest that need not be whole: 0 unless it is the first field, where protobuf writes it.
std::uint64_t leading_tag(std::string_view bytes);

}  // namespace caudal
