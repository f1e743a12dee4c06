// The chat half of the request format: messages, tools and what else goes into the template. Pure, any thread.
#pragma once

#include <boost/json/object.hpp>

#include "common/result.h"
#include "coordinator/gateway/api/chat_input.h"

namespace caudal {

// Fills `chat` from a request body. Messages come out in the form templates expect: `content` one string or null
// (text parts joined by newlines), the `arguments` of tool calls as objects. Errors name the field.
Result<void> parse_chat_input(const boost::json::object& body, ChatInput& chat);

}  // namespace caudal
