// Answers in OpenAI's formats: one JSON object, or server-sent events. Text building only, no sockets; belongs to
// one request. Per token it appends to a string.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/gateway/http/answer_writer.h"

namespace caudal {

// "stop", "tool_calls", "length", "abort" (not over HTTP), "error"; "" while running.
std::string_view finish_reason_name(const ChoiceDelta& end);

class TokenBytes;

class OpenAiResponse final : public AnswerWriter {
 public:
  // `request` and `model` outlive it. `unique` makes the id, unless the request brings one: "chatcmpl-<unique>";
  // `created` in Unix seconds.
  OpenAiResponse(const ApiRequest& request, const GatewayModel& model, const std::string& unique, std::int64_t created);

  // Streaming: appends the events for one delta: `data: {...}\n\n`, preceded by the role for a new chat choice, and a
  // last one that holds the finish reason alone. Where the usage so far is asked for, it is that of the choice.
  void append_events(const ChoiceDelta& delta, std::string& out) override;
  // Appends the usage chunk if asked for, and `data: [DONE]`.
  void append_end(const Usage& usage, std::string& out) override;
  void append_error(const ApiError& error, std::string& out) override;

  // Not streaming: collects deltas, then writes the whole object.
  void collect(ChoiceDelta delta) override;
  std::string whole(const Usage& usage, std::int32_t num_choices) override;

  const std::string& id() const { return id_; }

 private:
  struct Collected {
    ChoiceDelta all;  // text, reasoning, calls and logprobs so far
    bool opened = false;
    std::size_t text_offset = 0;  // in characters, of the next token's logprobs
  };

  struct Chunk;
  struct TokenLists;

  Collected& choice(std::int32_t index);
  void append_head(std::string_view object, std::string& out) const;
  void append_chunk(const Chunk& chunk, const Usage& usage, std::string& out) const;
  void append_message(const ChoiceDelta& all, std::string& out) const;
  void append_parts(const ChoiceDelta& delta, const Usage& usage, std::string& out) const;
  void append_finish(const ChoiceDelta& end, std::string& out) const;
  void append_prompt(const ChoiceDelta& choice, std::string& out) const;
  std::string name_of(TokenId token) const;
  void append_chat_token(const TokenLogprob& entry, std::string& out) const;
  void append_token(TokenId token, const std::vector<TokenLogprob>& entries, std::size_t& text_offset,
                    TokenLists& lists) const;
  std::string logprobs_json(const ChoiceDelta& delta, std::size_t& text_offset) const;
  std::string chat_logprobs(const ChoiceDelta& delta) const;
  std::string completion_logprobs(const ChoiceDelta& delta, std::size_t& text_offset) const;

  const ApiRequest& request_;
  const TokenBytes& token_bytes_;
  const bool chat_;
  const std::string id_;
  std::string head_ = R"({"id":)";  // with the id
  std::string tail_of_head_;        // ,"created":...,"model":"..." as JSON
  std::vector<Collected> choices_;
};

std::string model_json(const GatewayModel& model, std::int32_t max_context_tokens);  // GET /v1/models/NAME
std::string models_json(const GenerationContext& context);                           // GET /v1/models

}  // namespace caudal
