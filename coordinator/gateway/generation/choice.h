// One choice of an answer: tokens of one sequence -> text, stop strings, finish reason. Independent of how the
// tokens were cut into events, so streaming and not streaming give the same. One thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/tokenizer/detokenizer.h"
#include "coordinator/gateway/api/api_request.h"
#include "coordinator/gateway/generation/stop_matcher.h"
#include "coordinator/request/request.h"

namespace caudal {

// What is new about a choice, ready to be written in any format.
struct ChoiceDelta {
  std::int32_t choice = 0;
  std::string text;
  std::vector<std::vector<TokenLogprob>> logprobs;  // of the tokens since the last delta; empty unless asked for
  FinishReason finish_reason = FinishReason::kNone;
  std::string stop_string;            // what stopped it, if a stop string did
  std::optional<TokenId> stop_token;  // or a stop token that the client named
  std::int32_t num_tokens = 0;        // of this choice so far
  std::int64_t num_prompt_tokens = 0;
};

class Choice {
 public:
  // `tokenizer` and `request` outlive it; `stops` are the request's. `prefix` opens the text (echo).
  Choice(std::int32_t index, const Tokenizer& tokenizer, const ApiRequest& request,
         std::shared_ptr<const StopStrings> stops, std::string prefix);

  // Takes an event of this sequence; ignored once finished. A delta when there is text or an end to send.
  std::optional<ChoiceDelta> apply(const TokenEvent& event);

  bool finished() const { return finish_reason_ != FinishReason::kNone; }
  FinishReason finish_reason() const { return finish_reason_; }
  std::int32_t num_tokens() const { return num_tokens_; }

 private:
  void take_token(TokenId token, bool ends_sequence);
  void end(FinishReason reason);

  const std::int32_t index_;
  const ApiRequest& request_;
  IncrementalDetokenizer detokenizer_;
  StopMatcher matcher_;
  ChoiceDelta pending_;
  std::int32_t num_tokens_ = 0;
  FinishReason finish_reason_ = FinishReason::kNone;
};

}  // namespace caudal
