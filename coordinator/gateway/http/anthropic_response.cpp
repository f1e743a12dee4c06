#include "coordinator/gateway/http/anthropic_response.h"

#include <fmt/core.h>

#include "common/json/strict_json.h"
#include "coordinator/gateway/generation/gateway_models.h"

namespace caudal {
namespace {

std::string json_text(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

void append_event(std::string_view type, std::string_view members, std::string& out) {
  out += fmt::format("event: {}\ndata: {{\"type\":\"{}\"{}}}\n\n", type, type, members);
}

std::string_view error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

// Cached tokens are no part of input_tokens, as the API has it.
std::string usage_json(const Usage& usage) {
  return fmt::format(
      R"({{"input_tokens":{},"cache_creation_input_tokens":0,"cache_read_input_tokens":{},"output_tokens":{}}})",
      usage.num_prompt_tokens - usage.num_cached_tokens, usage.num_cached_tokens, usage.num_generated_tokens);
}

std::string call_json(const ToolCallDelta& call, std::string_view input) {
  return fmt::format(R"({{"type":"tool_use","id":{},"name":{},"input":{}}})", json_text(call.id), json_text(call.name),
                     input);
}

}  // namespace

std::string anthropic_error_json(const ApiError& error) {
  return fmt::format(R"({{"type":"error","error":{{"type":"{}","message":{}}}}})", error_type(error.status),
                     json_text(error.message));
}

AnthropicResponse::AnthropicResponse(const ApiRequest& request, const GatewayModel& model, const std::string& unique)
    : model_(model), id_("msg_" + (request.request_id.empty() ? unique : request.request_id)) {}

std::string AnthropicResponse::stop_json() const {
  std::string_view reason = "end_turn";
  if (all_.calls_tools) reason = "tool_use";  // unless it was cut off: then there may be half a call
  if (all_.finish_reason == FinishReason::kLength) reason = "max_tokens";
  if (!all_.stop_string.empty()) reason = "stop_sequence";
  const std::string sequence = all_.stop_string.empty() ? "null" : json_text(all_.stop_string);
  return fmt::format(R"("stop_reason":"{}","stop_sequence":{})", reason, sequence);
}

// --- Streaming ---

void AnthropicResponse::append_start(const ChoiceDelta& delta, std::string& out) {
  if (std::exchange(started_, true)) return;
  const Usage usage{.num_prompt_tokens = delta.num_prompt_tokens};
  append_event("message_start",
               fmt::format(R"(,"message":{{"id":{},"type":"message","role":"assistant","model":{},"content":[],)"
                           R"("stop_reason":null,"stop_sequence":null,"usage":{}}})",
                           json_text(id_), json_text(model_.context.served_name), usage_json(usage)),
               out);
}

void AnthropicResponse::open_block(Block block, std::string_view content_block, std::string& out) {
  if (block_ == block && block != Block::kCall) return;
  close_block(out);
  block_ = block;
  ++block_index_;
  append_event("content_block_start", fmt::format(R"(,"index":{},"content_block":{})", block_index_, content_block),
               out);
}

void AnthropicResponse::close_block(std::string& out) {
  if (std::exchange(block_, Block::kNone) == Block::kNone) return;
  append_event("content_block_stop", fmt::format(R"(,"index":{})", block_index_), out);
}

void AnthropicResponse::append_delta(std::string_view type, std::string_view member, std::string_view text,
                                     std::string& out) const {
  if (text.empty()) return;
  append_event(
      "content_block_delta",
      fmt::format(R"(,"index":{},"delta":{{"type":"{}","{}":{}}})", block_index_, type, member, json_text(text)), out);
}

void AnthropicResponse::append_events(const ChoiceDelta& delta, std::string& out) {
  append_start(delta, out);
  if (!delta.reasoning.empty()) {
    open_block(Block::kThinking, R"({"type":"thinking","thinking":"","signature":""})", out);
    append_delta("thinking_delta", "thinking", delta.reasoning, out);
  }
  if (!delta.text.empty()) {
    open_block(Block::kText, R"({"type":"text","text":""})", out);
    append_delta("text_delta", "text", delta.text, out);
  }
  for (const ToolCallDelta& call : delta.calls) {
    if (call.index != std::exchange(call_index_, call.index)) open_block(Block::kCall, call_json(call, "{}"), out);
    append_delta("input_json_delta", "partial_json", call.arguments, out);
  }
  if (delta.finish_reason == FinishReason::kNone) return;
  all_.finish_reason = delta.finish_reason;
  all_.stop_string = delta.stop_string;
  all_.calls_tools = delta.calls_tools;
}

// What failed has no end: clients would take it for a whole answer.
void AnthropicResponse::append_end(const Usage& usage, std::string& out) {
  if (failed_) return;
  close_block(out);
  append_event("message_delta", fmt::format(R"(,"delta":{{{}}},"usage":{})", stop_json(), usage_json(usage)), out);
  append_event("message_stop", "", out);
}

void AnthropicResponse::append_error(const ApiError& error, std::string& out) {
  failed_ = true;
  out += "event: error\ndata: " + anthropic_error_json(error) + "\n\n";
}

// --- Whole ---

void AnthropicResponse::collect(ChoiceDelta delta) { append_to(all_, std::move(delta)); }

std::string AnthropicResponse::whole(const Usage& usage, std::int32_t) {
  std::string content;
  const auto add = [&](const std::string& block) { content += (content.empty() ? "" : ",") + block; };
  if (!all_.reasoning.empty())
    add(fmt::format(R"({{"type":"thinking","thinking":{},"signature":""}})", json_text(all_.reasoning)));
  if (!all_.text.empty()) add(fmt::format(R"({{"type":"text","text":{}}})", json_text(all_.text)));
  for (const ToolCallDelta& call : all_.calls) add(call_json(call, call.arguments.empty() ? "{}" : call.arguments));
  return fmt::format(R"({{"id":{},"type":"message","role":"assistant","model":{},"content":[{}],{},"usage":{}}})",
                     json_text(id_), json_text(model_.context.served_name), content, stop_json(), usage_json(usage));
}

}  // namespace caudal
