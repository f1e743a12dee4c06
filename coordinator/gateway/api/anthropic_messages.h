// Anthropic's Messages API: a body of POST /v1/messages in the words of the chat endpoint, which is then checked like
// any other. Pure.
#pragma once

#include <boost/json/fwd.hpp>

#include "common/result.h"

namespace caudal {

// Messages of blocks become messages with parts, tool calls and roles; `system` becomes the first one. Errors name the
// field of the body as the client wrote it. `max_tokens` may be missing where only tokens are counted.
Result<boost::json::value> chat_body_of_messages(const boost::json::value& body, bool needs_max_tokens = true);

}  // namespace caudal
