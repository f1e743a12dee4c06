#include "coordinator/gateway/http/openai_response.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>
#include <utility>

#include "common/json/strict_json.h"
#include "coordinator/gateway/generation/gateway_models.h"
#include "coordinator/gateway/http/prompt_json.h"
#include "coordinator/request/request_service.h"

namespace caudal {
namespace {

void append_usage(const Usage& usage, std::string& out) {
  out += fmt::format(
      R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}})",
      usage.num_prompt_tokens, usage.num_generated_tokens, usage.num_prompt_tokens + usage.num_generated_tokens,
      usage.num_cached_tokens);
  if (usage.reports_drafts) {
    out += fmt::format(
        R"(,"completion_tokens_details":{{"accepted_prediction_tokens":{},"rejected_prediction_tokens":{}}})",
        usage.num_accepted, usage.num_drafted - usage.num_accepted);
  }
  out += '}';
}

void append_bytes(const std::string& bytes, std::string& out) {
  out += '[';
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out += ',';
    out += std::to_string(static_cast<unsigned char>(bytes[i]));
  }
  out += ']';
}

// By both of its names, so that every client finds it.
void append_reasoning(const std::string& reasoning, std::string& out) {
  out += R"("reasoning_content":)";
  append_json_string(out, reasoning);
  out += R"(,"reasoning":)";
  append_json_string(out, reasoning);
}

// {"id":...,"type":"function","function":{"name":...,"arguments":...}} without the opening brace.
void append_call(const ToolCallDelta& call, std::string& out) {
  out += R"("id":)";
  append_json_string(out, call.id);
  out += R"(,"type":"function","function":{"name":)";
  append_json_string(out, call.name);
  out += R"(,"arguments":)";
  append_json_string(out, call.arguments);
  out += "}}";
}

// A delta with the name, or one with arguments.
void append_call_delta(const ToolCallDelta& call, std::string& out) {
  out += fmt::format(R"({{"index":{},)", call.index);
  if (!call.name.empty()) {
    append_call(call, out);
  } else {
    out += R"("function":{"arguments":)";
    append_json_string(out, call.arguments);
    out += "}}";
  }
}

std::size_t count_characters(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; });
}

}  // namespace

std::string_view finish_reason_name(const ChoiceDelta& end) {
  switch (end.finish_reason) {
    case FinishReason::kStop:
      return end.calls_tools ? "tool_calls" : "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kAbort:
      return "abort";
    case FinishReason::kError:
      return "error";
    case FinishReason::kNone:
      break;
  }
  return "";
}

OpenAiResponse::OpenAiResponse(const ApiRequest& request, const GatewayModel& model, const std::string& unique,
                               std::int64_t created)
    : request_(request),
      token_bytes_(model.token_bytes),
      chat_(request.endpoint == Endpoint::kChat),
      id_((chat_ ? "chatcmpl-" : "cmpl-") + (request.request_id.empty() ? unique : request.request_id)),
      tail_of_head_(fmt::format(R"(","created":{},"model":)", created)) {
  append_json_string(head_, id_);
  append_json_string(tail_of_head_, model.context.served_name);
  tail_of_head_ += R"(,"system_fingerprint":")" + model.fingerprint + '"';
}

OpenAiResponse::Collected& OpenAiResponse::choice(std::int32_t index) {
  const std::size_t position = index;
  if (choices_.size() <= position) choices_.resize(position + 1);
  return choices_[position];
}

void OpenAiResponse::append_head(std::string_view object, std::string& out) const {
  out += head_;
  out += R"(,"object":")";
  out += object;
  out += tail_of_head_;
}

// Appends "finish_reason":...,"stop_reason":... (the second is vLLM's: the stop string or stop token id).
void OpenAiResponse::append_finish(const ChoiceDelta& end, std::string& out) const {
  out += R"("finish_reason":")";
  out += finish_reason_name(end);
  out += R"(","stop_reason":)";
  if (!end.stop_string.empty()) {
    append_json_string(out, end.stop_string);
  } else {
    out += end.stop_token ? std::to_string(*end.stop_token) : "null";
  }
}

// --- Streaming ---

struct OpenAiResponse::Chunk {
  std::int32_t index = 0;
  std::string delta;  // members of the choice, as JSON
  std::string logprobs = "null";
  const ChoiceDelta* end = nullptr;
  std::string prompt_tokens{};  // ids, as JSON
};

void OpenAiResponse::append_chunk(const Chunk& chunk, const Usage& usage, std::string& out) const {
  out += "data: ";
  append_head(chat_ ? "chat.completion.chunk" : "text_completion", out);
  out += fmt::format(R"(,"choices":[{{"index":{},{},"logprobs":{},)", chunk.index, chunk.delta, chunk.logprobs);
  if (chunk.end != nullptr) {
    append_finish(*chunk.end, out);
  } else {
    out += R"("finish_reason":null)";
  }
  const std::string prompt = chunk.prompt_tokens.empty() ? "" : R"(,"prompt_token_ids":)" + chunk.prompt_tokens;
  out += chat_ ? "}]" + prompt : prompt + "}]";  // where vLLM has it
  if (request_.include_usage && request_.continuous_usage_stats) {
    out += R"(,"usage":)";
    append_usage(usage, out);
  } else if (request_.include_usage) {
    out += R"(,"usage":null)";
  }
  out += "}\n\n";
}

void OpenAiResponse::append_events(const ChoiceDelta& delta, std::string& out) {
  Collected& collected = choice(delta.choice);
  Usage usage{.num_prompt_tokens = delta.num_prompt_tokens};
  const bool tells_ids = delta.prompt && request_.return_token_ids;
  std::string prompt_tokens = tells_ids ? token_ids_json(delta.prompt->tokens) : "";
  if (chat_ && !collected.opened) {
    append_chunk({.index = delta.choice,
                  .delta = R"("delta":{"role":"assistant","content":""})",
                  .prompt_tokens = std::exchange(prompt_tokens, {})},
                 usage, out);
  }
  collected.opened = true;
  usage.num_generated_tokens = delta.num_tokens;
  append_parts(delta, usage, out);
  const bool told = !delta.reasoning.empty() || !delta.calls.empty();  // the first part has the logprobs
  const bool rest = !told && !delta.logprobs.empty();
  if (!delta.text.empty() || rest || !delta.token_ids.empty() || delta.prompt) {
    std::string json = chat_ ? R"("delta":{"content":)" : R"("text":)";
    append_json_string(json, delta.text);
    if (chat_) json += '}';
    if (request_.return_token_ids) json += R"(,"token_ids":)" + token_ids_json(delta.token_ids);
    append_chunk({.index = delta.choice,
                  .delta = std::move(json),
                  .logprobs = told ? "null" : logprobs_json(delta, collected.text_offset),
                  .prompt_tokens = std::move(prompt_tokens)},
                 usage, out);
  }
  if (delta.finish_reason == FinishReason::kNone) return;
  append_chunk({.index = delta.choice, .delta = chat_ ? R"("delta":{})" : R"("text":"")", .end = &delta}, usage, out);
}

// Reasoning and calls, each in an event of its own; the first has the logprobs.
void OpenAiResponse::append_parts(const ChoiceDelta& delta, const Usage& usage, std::string& out) const {
  std::string logprobs = request_.num_logprobs < 0 || delta.logprobs.empty() ? "null" : chat_logprobs(delta);
  if (!delta.reasoning.empty()) {
    std::string json = R"("delta":{)";
    append_reasoning(delta.reasoning, json);
    append_chunk({.index = delta.choice, .delta = json + "}", .logprobs = std::exchange(logprobs, "null")}, usage, out);
  }
  for (const ToolCallDelta& call : delta.calls) {
    std::string json = R"("delta":{"tool_calls":[)";
    append_call_delta(call, json);
    append_chunk({.index = delta.choice, .delta = json + "]}", .logprobs = std::exchange(logprobs, "null")}, usage,
                 out);
  }
}

void OpenAiResponse::append_error(const ApiError& error, std::string& out) {
  out += "data: " + error_json(error) + "\n\n";
}

void OpenAiResponse::append_end(const Usage& usage, std::string& out) {
  if (request_.include_usage) {
    out += "data: ";
    append_head(chat_ ? "chat.completion.chunk" : "text_completion", out);
    out += R"(,"choices":[],"usage":)";
    append_usage(usage, out);
    out += "}\n\n";
  }
  out += "data: [DONE]\n\n";
}

// --- Whole ---

void OpenAiResponse::collect(ChoiceDelta delta) {
  ChoiceDelta& all = choice(delta.choice).all;
  append_to(all, std::move(delta));
}

void OpenAiResponse::append_message(const ChoiceDelta& all, std::string& out) const {
  out += R"("message":{"role":"assistant","content":)";
  if (all.text.empty() && !all.calls.empty()) {
    out += "null";
  } else {
    append_json_string(out, all.text);
  }
  out += R"(,"refusal":null)";
  if (!all.reasoning.empty()) {
    out += ',';
    append_reasoning(all.reasoning, out);
  }
  for (std::size_t i = 0; i < all.calls.size(); ++i) {
    out += i == 0 ? R"(,"tool_calls":[{)" : ",{";
    append_call(all.calls[i], out);
  }
  out += all.calls.empty() ? "}" : "]}";
}

std::string OpenAiResponse::whole(const Usage& usage, std::int32_t num_choices) {
  std::string out;
  append_head(chat_ ? "chat.completion" : "text_completion", out);
  out += R"(,"choices":[)";
  for (std::int32_t index = 0; index < num_choices; ++index) {
    Collected& collected = choice(index);
    if (index > 0) out += ',';
    out += fmt::format(R"({{"index":{},)", index);
    if (chat_) {
      append_message(collected.all, out);
    } else {
      out += R"("text":)";
      append_json_string(out, collected.all.text);
    }
    out += R"(,"logprobs":)" + logprobs_json(collected.all, collected.text_offset) + ",";
    append_finish(collected.all, out);
    if (request_.return_token_ids) out += R"(,"token_ids":)" + token_ids_json(collected.all.token_ids);
    if (!chat_) append_prompt(collected.all, out);
    out += '}';
  }
  out += R"(],"usage":)";
  append_usage(usage, out);
  if (chat_) append_prompt(choice(0).all, out);
  return out + "}";
}

// Of completions each choice has it, of a chat the answer.
void OpenAiResponse::append_prompt(const ChoiceDelta& choice, std::string& out) const {
  const auto bytes_of = [&](TokenId token) -> const std::string& { return token_bytes_.of(token); };
  out += R"(,"prompt_logprobs":)";
  const bool tells = choice.prompt && request_.tells_prompt_logprobs;
  out += tells ? prompt_logprobs_json(*choice.prompt, bytes_of) : "null";
  if (choice.prompt && request_.return_token_ids)
    out += R"(,"prompt_token_ids":)" + token_ids_json(choice.prompt->tokens);
}

// --- Logprobs ---

std::string OpenAiResponse::logprobs_json(const ChoiceDelta& delta, std::size_t& text_offset) const {
  const bool has_prompt = request_.echo && delta.prompt;
  if (request_.num_logprobs < 0 || (delta.logprobs.empty() && !has_prompt)) return "null";
  return chat_ ? chat_logprobs(delta) : completion_logprobs(delta, text_offset);
}

std::string OpenAiResponse::name_of(TokenId token) const {
  return request_.tokens_as_ids ? fmt::format("token_id:{}", token) : token_name(token_bytes_.of(token));
}

// {"token":...,"logprob":...,"bytes":[...] without the closing brace.
void OpenAiResponse::append_chat_token(const TokenLogprob& entry, std::string& out) const {
  out += R"({"token":)";
  append_json_string(out, name_of(entry.token));
  out += fmt::format(R"(,"logprob":{},"bytes":)", finite(entry.logprob));
  append_bytes(token_bytes_.of(entry.token), out);
}

std::string OpenAiResponse::chat_logprobs(const ChoiceDelta& delta) const {
  std::string out = R"({"content":[)";
  for (std::size_t i = 0; i < delta.logprobs.size(); ++i) {
    const auto& entries = delta.logprobs[i];
    if (entries.empty()) continue;
    if (i > 0) out += ',';
    append_chat_token(entries.front(), out);
    out += R"(,"top_logprobs":[)";
    for (std::size_t top = 1; top < entries.size(); ++top) {
      if (top > 1) out += ',';
      append_chat_token(entries[top], out);
      out += '}';
    }
    out += "]}";
  }
  return out + R"(],"refusal":null})";
}

// The lists of completions' logprobs, token by token.
struct OpenAiResponse::TokenLists {
  std::string tokens, scores, tops, offsets;
};

void OpenAiResponse::append_token(TokenId token, const std::vector<TokenLogprob>& entries, std::size_t& text_offset,
                                  TokenLists& lists) const {
  const char* comma = lists.tokens.empty() ? "" : ",";
  const std::string name = name_of(token);
  lists.tokens += comma;
  append_json_string(lists.tokens, name);
  lists.offsets += fmt::format("{}{}", comma, text_offset);
  text_offset += count_characters(name);
  if (entries.empty()) {  // the first of a prompt
    lists.scores += "null";
    lists.tops += "null";
    return;
  }
  lists.scores += fmt::format("{}{}", comma, finite(entries.front().logprob));
  lists.tops += comma;
  lists.tops += '{';
  // The token itself is always there; an object holds a name once.
  std::set<std::string> seen;
  for (const TokenLogprob& entry : entries) {
    const std::string top = name_of(entry.token);
    if (!seen.insert(top).second) continue;
    if (seen.size() > 1) lists.tops += ',';
    append_json_string(lists.tops, top);
    lists.tops += fmt::format(":{}", finite(entry.logprob));
  }
  lists.tops += '}';
}

std::string OpenAiResponse::completion_logprobs(const ChoiceDelta& delta, std::size_t& text_offset) const {
  TokenLists lists;
  if (request_.echo && delta.prompt) {
    append_token(delta.prompt->tokens.front(), {}, text_offset, lists);
    for (const auto& entries : delta.prompt->logprobs) append_token(entries.front().token, entries, text_offset, lists);
  }
  for (const auto& entries : delta.logprobs)
    if (!entries.empty()) append_token(entries.front().token, entries, text_offset, lists);
  return fmt::format(R"({{"tokens":[{}],"token_logprobs":[{}],"top_logprobs":[{}],"text_offset":[{}]}})", lists.tokens,
                     lists.scores, lists.tops, lists.offsets);
}

std::string model_json(const GatewayModel& model, std::int32_t max_context_tokens) {
  std::string name;
  append_json_string(name, model.context.served_name);
  return fmt::format(
      R"({{"id":{},"object":"model","created":{},"owned_by":"caudal","root":{},"parent":null,"max_model_len":{}}})",
      name, model.context.created, name, max_context_tokens);
}

std::string models_json(const GenerationContext& context) {
  std::string list;
  for (const auto& model : context.models.all()) {
    if (!list.empty()) list += ',';
    list += model_json(*model, served_context_tokens(context.service, *model));
  }
  return R"({"object":"list","data":[)" + list + "]}";
}

}  // namespace caudal
