// One choice of an answer: tokens of one sequence -> text, reasoning, calls of tools, stop strings, finish reason.
// Independent of how the tokens were cut into events, so streaming and not streaming give the same. One thread at a
// time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/tokenizer/detokenizer.h"
#include "coordinator/gateway/api/api_request.h"
#include "coordinator/gateway/generation/output_plan.h"
#include "coordinator/gateway/generation/stop_matcher.h"
#include "coordinator/request/request.h"

namespace caudal {

// More of a call: its id and name once, in its first delta.
struct ToolCallDelta {
  std::int32_t index = 0;
  std::string id;
  std::string name;
  std::string arguments;  // all deltas' together are JSON text
};

// Adds deltas to the calls they are of.
void merge_calls(std::vector<ToolCallDelta> deltas, std::vector<ToolCallDelta>& calls);

// What the client wants to know of a prompt.
struct PromptDetails {
  std::vector<TokenId> tokens;
  std::vector<std::vector<TokenLogprob>> logprobs;  // of all tokens but the first; or empty
};

// What is new about a choice, ready to be written in any format.
struct ChoiceDelta {
  std::int32_t choice = 0;
  std::string text;
  std::string reasoning;
  std::vector<ToolCallDelta> calls;
  bool calls_tools = false;                         // this delta or one before it has a call
  std::vector<std::vector<TokenLogprob>> logprobs;  // of the tokens since the last delta; empty unless asked for
  std::vector<TokenId> token_ids;                   // likewise
  std::shared_ptr<const PromptDetails> prompt;      // with the first delta of a choice, where asked for
  FinishReason finish_reason = FinishReason::kNone;
  std::string stop_string;            // what stopped it, if a stop string did
  std::optional<TokenId> stop_token;  // or a stop token that the client named
  std::int32_t num_tokens = 0;        // of this choice so far
  std::int64_t num_prompt_tokens = 0;
};

// What is new goes behind what was there.
void append_to(ChoiceDelta& all, ChoiceDelta delta);

class Choice {
 public:
  // `tokenizer` and `request` outlive it; `stops` are the request's. `prefix` opens the text (echo). `plan`: null where
  // the output is nothing but text.
  Choice(std::int32_t index, const Tokenizer& tokenizer, const ApiRequest& request,
         std::shared_ptr<const StopStrings> stops, std::string prefix,
         std::shared_ptr<const OutputPlan> plan = nullptr);

  // Takes an event of this sequence; ignored once finished. A delta when there is text or an end to send.
  std::optional<ChoiceDelta> apply(const TokenEvent& event);

  bool finished() const { return finish_reason_ != FinishReason::kNone; }
  FinishReason finish_reason() const { return finish_reason_; }
  std::int32_t num_tokens() const { return num_tokens_; }

 private:
  void take_token(TokenId token, bool ends_sequence);
  bool is_hidden(TokenId token) const;
  void take_text(const std::string& text, bool may_stop);
  void take_parsed(ParsedOutput parsed, bool may_stop);
  void take_content(std::string_view content, bool may_stop);
  bool has_only_call() const;  // and no more may come
  void take_call(ToolCall call);
  void end(FinishReason reason);

  const std::int32_t index_;
  const ApiRequest& request_;
  const Tokenizer& tokenizer_;
  const std::shared_ptr<const OutputPlan> plan_;  // shared by the choices of a request
  IncrementalDetokenizer detokenizer_;
  std::optional<OutputParser> parser_;  // with a plan
  StopMatcher matcher_;                 // of content
  ChoiceDelta pending_;
  std::int32_t num_tokens_ = 0;
  std::int32_t num_calls_ = 0;
  FinishReason finish_reason_ = FinishReason::kNone;
};

}  // namespace caudal
