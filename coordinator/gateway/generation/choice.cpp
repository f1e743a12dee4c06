#include "coordinator/gateway/generation/choice.h"

#include <algorithm>
#include <utility>

#include "coordinator/gateway/generation/random_id.h"

namespace caudal {
namespace {

// Mistral's templates refuse ids of any other length; Kimi's models read the number.
std::string call_id(ToolFormat::Ids ids, const std::string& name, std::int32_t index) {
  if (ids == ToolFormat::Ids::kWithName) return "functions." + name + ":" + std::to_string(index);
  if (ids == ToolFormat::Ids::kNineCharacters) return random_id().substr(0, 9);
  return "call_" + random_id();
}

}  // namespace

void merge_calls(std::vector<ToolCallDelta> deltas, std::vector<ToolCallDelta>& calls) {
  for (ToolCallDelta& delta : deltas) {
    const auto known = std::ranges::find(calls, delta.index, &ToolCallDelta::index);
    if (known == calls.end()) {
      calls.push_back(std::move(delta));
    } else {
      known->arguments += delta.arguments;
    }
  }
}

void append_to(ChoiceDelta& all, ChoiceDelta delta) {
  all.text += delta.text;
  all.reasoning += delta.reasoning;
  merge_calls(std::move(delta.calls), all.calls);
  all.calls_tools = delta.calls_tools;
  all.logprobs.insert(all.logprobs.end(), std::make_move_iterator(delta.logprobs.begin()),
                      std::make_move_iterator(delta.logprobs.end()));
  all.token_ids.insert(all.token_ids.end(), delta.token_ids.begin(), delta.token_ids.end());
  if (delta.prompt) all.prompt = std::move(delta.prompt);
  all.finish_reason = delta.finish_reason;
  all.stop_string = std::move(delta.stop_string);
  all.stop_token = delta.stop_token;
}

Choice::Choice(std::int32_t index, const Tokenizer& tokenizer, const ApiRequest& request,
               std::shared_ptr<const StopStrings> stops, std::string prefix, std::shared_ptr<const OutputPlan> plan)
    : index_(index),
      request_(request),
      tokenizer_(tokenizer),
      plan_(std::move(plan)),
      detokenizer_(tokenizer, plan_ == nullptr && request.skip_special_tokens),
      matcher_(std::move(stops), request.include_stop) {
  if (plan_ != nullptr) parser_.emplace(*plan_->format, plan_->parser);
  pending_.choice = index;
  pending_.text = std::move(prefix);
}

std::optional<ChoiceDelta> Choice::apply(const TokenEvent& event) {
  if (finished()) return std::nullopt;
  for (std::size_t i = 0; i < event.tokens.size() && !finished(); ++i) {
    const bool last = i + 1 == event.tokens.size();
    if (request_.max_tokens == 0) break;  // the prompt alone; the worker samples behind it all the same
    if (i < event.logprobs.size()) pending_.logprobs.push_back(event.logprobs[i]);
    if (request_.return_token_ids) pending_.token_ids.push_back(event.tokens[i]);
    take_token(event.tokens[i], last && event.finish_reason == FinishReason::kStop);
  }
  const bool stopped = event.finish_reason == FinishReason::kStop;
  if (!finished() && event.finish_reason != FinishReason::kNone)
    end(stopped && request_.max_tokens == 0 ? FinishReason::kLength : event.finish_reason);
  const bool silent = pending_.text.empty() && pending_.reasoning.empty() && pending_.calls.empty();
  if (silent && pending_.token_ids.empty() && !finished()) return std::nullopt;
  pending_.num_tokens = num_tokens_;
  pending_.calls_tools = num_calls_ > 0;
  ChoiceDelta next;
  next.choice = index_;
  return std::exchange(pending_, std::move(next));
}

// A token that ends the sequence is not part of the text, except by include_stop_str_in_output.
void Choice::take_token(TokenId token, bool ends_sequence) {
  ++num_tokens_;
  if (ends_sequence) {
    const auto& stops = request_.params.stop.stop_token_ids;
    if (std::find(stops.begin(), stops.end(), token) != stops.end()) pending_.stop_token = token;
    if (!request_.include_stop) return;
  }
  if (is_hidden(token) || !request_.detokenize) return;
  std::string text;
  detokenizer_.push(token, text);
  take_text(text, num_tokens_ >= request_.params.stop.min_tokens);
  if (matcher_.matched() != nullptr || has_only_call()) end(FinishReason::kStop);
}

// Special tokens are no text but where they are part of a mark that the parser acts on.
bool Choice::is_hidden(TokenId token) const {
  if (plan_ == nullptr || !request_.skip_special_tokens || !tokenizer_.is_special(token)) return false;
  if (!std::ranges::binary_search(plan_->mark_tokens, token)) return true;
  const auto text = tokenizer_.id_to_token(token);
  return text && parser_->ignores(*text);
}

void Choice::take_text(const std::string& text, bool may_stop) {
  ParsedOutput parsed;
  if (parser_) {
    parser_->push(text, parsed);
  } else {
    parsed.content = text;
  }
  take_parsed(std::move(parsed), may_stop);
}

// Stop strings are looked for in content alone. What follows one, or the only call, is dropped.
void Choice::take_parsed(ParsedOutput parsed, bool may_stop) {
  if (plan_ == nullptr || plan_->include_reasoning) pending_.reasoning += parsed.reasoning;
  std::size_t taken = 0;
  for (ToolCall& call : parsed.calls) {
    take_content(std::string_view(parsed.content).substr(taken, call.content_before - taken), may_stop);
    taken = call.content_before;
    if (matcher_.matched() != nullptr || has_only_call()) return;
    take_call(std::move(call));
  }
  if (!has_only_call()) take_content(std::string_view(parsed.content).substr(taken), may_stop);
}

void Choice::take_content(std::string_view content, bool may_stop) {
  if (may_stop) {
    matcher_.push(content, pending_.text);
  } else {
    pending_.text += content;
  }
}

bool Choice::has_only_call() const { return plan_ != nullptr && !plan_->parallel && num_calls_ > 0; }

void Choice::take_call(ToolCall call) {
  std::string id = call_id(plan_->format->tools->ids, call.name, num_calls_);
  pending_.calls.push_back({num_calls_, std::move(id), std::move(call.name), ""});
  pending_.calls.push_back({num_calls_, "", "", std::move(call.arguments)});
  ++num_calls_;
}

void Choice::end(FinishReason reason) {
  finish_reason_ = reason;
  if (matcher_.matched() == nullptr && !has_only_call()) {
    std::string rest;
    detokenizer_.finish(rest);
    take_text(rest, true);
  }
  if (matcher_.matched() == nullptr && !has_only_call() && parser_) {
    ParsedOutput parsed;
    parser_->finish(parsed);
    take_parsed(std::move(parsed), true);
  }
  if (matcher_.matched() == nullptr) matcher_.finish(pending_.text);
  if (matcher_.matched() != nullptr) {
    finish_reason_ = FinishReason::kStop;
    pending_.stop_string = *matcher_.matched();
  }
  pending_.finish_reason = finish_reason_;
}

}  // namespace caudal
