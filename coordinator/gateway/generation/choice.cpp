#include "coordinator/gateway/generation/choice.h"

#include <algorithm>
#include <utility>

namespace caudal {

Choice::Choice(std::int32_t index, const Tokenizer& tokenizer, const ApiRequest& request,
               std::shared_ptr<const StopStrings> stops, std::string prefix)
    : index_(index),
      request_(request),
      detokenizer_(tokenizer, request.skip_special_tokens),
      matcher_(std::move(stops), request.include_stop) {
  pending_.choice = index;
  pending_.text = std::move(prefix);
}

std::optional<ChoiceDelta> Choice::apply(const TokenEvent& event) {
  if (finished()) return std::nullopt;
  for (std::size_t i = 0; i < event.tokens.size() && !finished(); ++i) {
    const bool last = i + 1 == event.tokens.size();
    if (i < event.logprobs.size()) pending_.logprobs.push_back(event.logprobs[i]);
    take_token(event.tokens[i], last && event.finish_reason == FinishReason::kStop);
  }
  if (!finished() && event.finish_reason != FinishReason::kNone) end(event.finish_reason);
  if (pending_.text.empty() && !finished()) return std::nullopt;
  pending_.num_tokens = num_tokens_;
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
  std::string text;
  detokenizer_.push(token, text);
  if (num_tokens_ < request_.params.stop.min_tokens) {
    pending_.text += text;  // too early to stop
    return;
  }
  matcher_.push(text, pending_.text);
  if (matcher_.matched() != nullptr) end(FinishReason::kStop);
}

void Choice::end(FinishReason reason) {
  finish_reason_ = reason;
  if (matcher_.matched() == nullptr) {
    std::string rest;
    detokenizer_.finish(rest);
    matcher_.push(rest, pending_.text);
    if (matcher_.matched() == nullptr) matcher_.finish(pending_.text);
  }
  if (matcher_.matched() != nullptr) {
    finish_reason_ = FinishReason::kStop;
    pending_.stop_string = *matcher_.matched();
  }
  pending_.finish_reason = finish_reason_;
}

}  // namespace caudal
