// The tools of a chat: which there are, and which of them the model may or must call. Pure, any thread.
#pragma once

#include "common/json/json_node.h"
#include "coordinator/gateway/api/chat_input.h"

namespace caudal {

// `node` is the body, `source` the same object, out of which the tools are moved. Throws JsonError.
void take_tools(const JsonNode& node, boost::json::object& source, ChatInput& chat);

// A `function` with a name, of a tool or of a call; that of a call may be empty.
JsonNode check_function(const JsonNode& node, bool may_be_empty);

}  // namespace caudal
