#include "coordinator/gateway/zmq/zmq_events.h"

#include <fmt/core.h>

#include "coordinator/gateway/generation/gateway_models.h"
#include "coordinator/gateway/generation/random_id.h"
#include "coordinator/gateway/http/openai_response.h"
#include "proto/gateway.pb.h"

namespace caudal {
namespace {

using TokenScores = std::vector<TokenLogprob>;

void write_score(const TokenBytes& token_bytes, const TokenLogprob& entry, gateway::TokenLogprob& out) {
  out.set_token(entry.token);
  out.set_bytes(token_bytes.of(entry.token));
  out.set_logprob(entry.logprob);
}

template <typename Target>
void write_scores(const TokenBytes& token_bytes, const std::vector<TokenScores>& tokens, Target& out) {
  for (const TokenScores& entries : tokens) {
    if (entries.empty()) continue;
    gateway::TokenLogprobs& one = *out.add_logprobs();
    write_score(token_bytes, entries.front(), *one.mutable_sampled());
    for (std::size_t i = 1; i < entries.size(); ++i) write_score(token_bytes, entries[i], *one.add_top());
  }
}

void write_call(const ToolCallDelta& call, gateway::ToolCall& out) {
  out.set_id(call.id);
  out.mutable_function()->set_name(call.name);
  out.mutable_function()->set_arguments(call.arguments);
}

void write_call_delta(const ToolCallDelta& call, gateway::ToolCallDelta& out) {
  out.set_index(static_cast<std::uint32_t>(call.index));
  out.set_id(call.id);
  out.set_name(call.name);
  out.set_arguments(call.arguments);
}

// Beside text and log-probabilities.
template <typename Target>
void write_details(const TokenBytes& token_bytes, const ApiRequest& request, const ChoiceDelta& delta, Target& out) {
  for (const TokenId token : delta.token_ids) out.add_token_ids(token);
  if (!delta.prompt) return;
  gateway::Prompted& prompt = *out.mutable_prompt();
  if (request.return_token_ids)
    for (const TokenId token : delta.prompt->tokens) prompt.add_token_ids(token);
  write_scores(token_bytes, delta.prompt->logprobs, prompt);
}

}  // namespace

std::string error_event(std::uint64_t tag, const ApiError& error) {
  gateway::GatewayEvent event;
  event.set_tag(tag);
  gateway::Error& out = *event.mutable_error();
  out.set_status(error.status);
  out.set_message(error.message);
  out.set_type(error.type);
  out.set_param(error.param);
  out.set_code(error.code);
  return event.SerializeAsString();
}

std::string aborted_event(std::uint64_t tag) {
  gateway::GatewayEvent event;
  event.set_tag(tag);
  event.mutable_finished();
  return event.SerializeAsString();
}

std::string status_event(std::uint64_t tag, bool ready, const GenerationContext& context) {
  gateway::GatewayEvent event;
  event.set_tag(tag);
  event.mutable_status()->set_ready(ready);
  const GatewayModel& first = context.models.at(0);
  event.mutable_status()->set_model(first.context.served_name);
  event.mutable_status()->set_max_context_tokens(served_context_tokens(context.service, first));
  return event.SerializeAsString();
}

EventWriter::EventWriter(std::uint64_t tag, const ApiRequest& request, const GatewayModel& model)
    : tag_(tag),
      request_(request),
      model_(model),
      id_((request.endpoint == Endpoint::kChat ? "chatcmpl-" : "cmpl-") +
          (request.request_id.empty() ? random_id() : request.request_id)) {
  const std::size_t num_prompts = request.endpoint == Endpoint::kChat ? 1 : request.prompts.size();
  choices_.resize(num_prompts * static_cast<std::size_t>(request.num_sequences));
}

std::string EventWriter::accepted() const {
  gateway::GatewayEvent event;
  event.set_tag(tag_);
  event.mutable_accepted()->set_id(id_);
  event.mutable_accepted()->set_model(model_.context.served_name);
  return event.SerializeAsString();
}

std::vector<std::string> EventWriter::delta(const ChoiceDelta& delta) {
  ChoiceDelta& choice = choices_[delta.choice];
  choice.finish_reason = delta.finish_reason;
  choice.stop_string = delta.stop_string;
  choice.stop_token = delta.stop_token;
  choice.calls_tools = delta.calls_tools;
  if (!request_.stream) {
    choice.text += delta.text;
    choice.reasoning += delta.reasoning;
    merge_calls(delta.calls, choice.calls);
    choice.logprobs.insert(choice.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
    choice.token_ids.insert(choice.token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
    if (delta.prompt) choice.prompt = delta.prompt;
    return {};
  }
  const bool silent = delta.text.empty() && delta.reasoning.empty() && delta.calls.empty();
  if (silent && delta.logprobs.empty() && delta.token_ids.empty() && !delta.prompt) return {};
  gateway::GatewayEvent event;
  event.set_tag(tag_);
  event.mutable_delta()->set_choice(static_cast<std::uint32_t>(delta.choice));
  event.mutable_delta()->set_text(delta.text);
  event.mutable_delta()->set_reasoning(delta.reasoning);
  for (const ToolCallDelta& call : delta.calls) write_call_delta(call, *event.mutable_delta()->add_tool_calls());
  write_scores(model_.token_bytes, delta.logprobs, *event.mutable_delta());
  write_details(model_.token_bytes, request_, delta, *event.mutable_delta());
  return {event.SerializeAsString()};
}

std::string EventWriter::finished(const Usage& usage) {
  gateway::GatewayEvent event;
  event.set_tag(tag_);
  gateway::Finished& out = *event.mutable_finished();
  out.set_id(id_);
  out.set_model(model_.context.served_name);
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    const ChoiceDelta& choice = choices_[i];
    const bool cut = choice.finish_reason == FinishReason::kNone;
    gateway::Choice& one = *out.add_choices();
    one.set_index(static_cast<std::uint32_t>(i));
    one.set_text(choice.text);
    one.set_reasoning(choice.reasoning);
    for (const ToolCallDelta& call : choice.calls) write_call(call, *one.add_tool_calls());
    one.set_finish_reason(cut ? "abort" : std::string(finish_reason_name(choice)));
    one.set_stop_string(choice.stop_string);
    if (choice.stop_token) one.set_stop_token(*choice.stop_token);
    write_scores(model_.token_bytes, choice.logprobs, one);
    write_details(model_.token_bytes, request_, choice, one);
  }
  out.mutable_usage()->set_prompt_tokens(usage.num_prompt_tokens);
  out.mutable_usage()->set_completion_tokens(usage.num_generated_tokens);
  out.mutable_usage()->set_cached_tokens(usage.num_cached_tokens);
  out.mutable_usage()->set_accepted_prediction_tokens(usage.num_accepted);
  out.mutable_usage()->set_rejected_prediction_tokens(usage.num_drafted - usage.num_accepted);
  return event.SerializeAsString();
}

}  // namespace caudal
