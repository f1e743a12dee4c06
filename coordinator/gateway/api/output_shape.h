// What the output is held to, under all the names that clients have for it: OpenAI's response_format, vLLM's
// structured_outputs and guided_*, llama.cpp's grammar and json_schema, SGLang's regex and ebnf. Pure.
#pragma once

#include <span>
#include <string_view>

#include "common/json/json_node.h"
#include "coordinator/gateway/api/api_request.h"

namespace caudal {

// Fills in the request's grammar and the name of the field that holds it. Throws JsonError: two shapes at once, a
// member that is not known, a wrong type. Whether the grammar itself is right is found when it is compiled.
void take_output_shape(const JsonNode& body, ApiRequest& request);

std::span<const std::string_view> output_shape_fields();

}  // namespace caudal
