// What a text is in tokens, and tokens in text: for clients that count before they ask. On the work pool.
#pragma once

#include <boost/json/fwd.hpp>

#include "coordinator/gateway/http/http_routes.h"

namespace caudal {

// POST /tokenize: {"prompt": ...} (llama.cpp: {"content": ...}) or {"messages": [...]} with what the chat endpoint
// takes. Answers as vLLM does: count, max_model_len, tokens, and token_strs where return_token_strs asks for them.
RouteAnswer tokenize(const GenerationContext& context, boost::json::value body);

// POST /detokenize: {"tokens": [...]}. The text is told as `prompt`, and as llama.cpp has it, `content`.
RouteAnswer detokenize(const GenerationContext& context, boost::json::value body);

// POST /v1/messages/count_tokens, Anthropic's: {"input_tokens": n}.
RouteAnswer count_message_tokens(const GenerationContext& context, boost::json::value body);

}  // namespace caudal
