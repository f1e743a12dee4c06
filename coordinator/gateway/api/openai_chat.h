// The chat half of the request format: messages, tools and what else goes into the template. Pure, any thread.
#pragma once

#include "coordinator/gateway/api/chat_input.h"

namespace caudal {

// Moves the conversation from a request body, an object, into `chat`: nothing of it is copied. Messages come out in the
// form templates expect: `content` one string or null (text parts joined by newlines), the `arguments` of tool calls as
// objects. Throws JsonError, which names the field.
void take_chat_input(boost::json::value& body, ChatInput& chat);

}  // namespace caudal
