// The chat half of the request format: messages, tools and what else goes into the template. Pure, any thread.
#pragma once

#include "coordinator/gateway/api/chat_input.h"

namespace caudal {

// Moves the conversation from a request body, an object, into `chat`: nothing of it is copied but the text of
// reasoning, which goes by two names. Messages come out as ChatInput has them. Throws JsonError, which names the field.
void take_chat_input(boost::json::value& body, ChatInput& chat);

}  // namespace caudal
