// What a client may ask through either gateway, checked and with every default filled in, but not yet templated
// or tokenized. Made by openai_api, read by generation. Plain data.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/types.h"
#include "coordinator/request/beam_params.h"

namespace caudal {

// kMessages becomes kChat when it is taken, with an answer in Anthropic's style.
enum class Endpoint : std::uint8_t { kCompletions, kChat, kMessages };
// The API in whose format a request is answered.
enum class AnswerStyle : std::uint8_t { kOpenAi, kAnthropic };

using Prompt = std::variant<std::string, std::vector<TokenId>>;

struct ChatInput;

struct ApiRequest {
  ApiRequest();
  ApiRequest(ApiRequest&&) noexcept;
  ~ApiRequest();

  Endpoint endpoint = Endpoint::kCompletions;
  AnswerStyle style = AnswerStyle::kOpenAi;
  std::string model;                // empty: the served one
  std::vector<Prompt> prompts;      // completions: 1 or more; chat: none
  std::unique_ptr<ChatInput> chat;  // completions: none

  GenerationParams params;            // as the worker gets them, but for the seed, max_tokens, bad words and stops of
  std::optional<std::uint64_t> seed;  // the model, which the generation fills in
  // At most; none: 16 for completions; never more than the context leaves. 0: only the prompt is asked for.
  std::optional<std::int32_t> max_tokens;
  bool ignore_eos = false;         // the model's own stop tokens do not stop
  std::int32_t num_sequences = 1;  // n, per prompt
  std::int32_t best_of = 0;        // sequences per prompt that compete to be these; never fewer than n
  bool use_beam_search = false;
  std::int32_t beam_width = 0;  // 0: best_of, else n
  double length_penalty = 1.0;
  EarlyStopping early_stopping = EarlyStopping::kNo;
  std::optional<BeamParams> beam;  // with use_beam_search, from all of these
  std::int32_t priority = 0;
  std::string cache_salt;           // cached prefixes are shared among requests of one salt only
  std::string user;                 // the tenant
  std::string request_id;           // of the answer's id; "": one is made
  std::int64_t deadline_ms = 0;     // from arrival to the first token, else refused; 0: none
  std::int64_t ttft_target_ms = 0;  // likewise, but a wish; 0: none
  double tpot_target_ms = 0.0;      // between two tokens, a wish; 0: none

  std::string grammar_field;           // which field holds params.sampling.grammar
  std::vector<std::string> bad_words;  // never in the output, without or behind a space
  std::vector<std::string> stop_strings;
  bool include_stop = false;           // the stop string or token is part of the text
  bool skip_special_tokens = true;     // control tokens leave no text
  bool echo = false;                   // completions: the prompt comes first in the text
  bool logprobs = false;               // chat only; completions ask with a number
  std::int32_t num_logprobs = -1;      // alternatives per token; -1: not asked for
  bool tells_prompt_logprobs = false;  // the client asked for `prompt_logprobs` by name
  bool return_token_ids = false;       // of prompt and output
  bool tokens_as_ids = false;          // where log-probabilities name a token, its id stands for its text
  bool detokenize = true;              // false: the output has no text

  std::vector<std::string> ignored_fields;  // that this server does not know; of odd names none, see openai_api

  bool stream = false;
  bool has_stream_options = false;      // which only a stream may
  bool include_usage = false;           // stream_options: one more chunk with the usage
  bool continuous_usage_stats = false;  // stream_options: the usage so far in every chunk
};

}  // namespace caudal
