// Text a client sent -> token ids: template, then tokenizer. What a client writes into a message can never become
// a control token: only the template's own text is searched for them. Immutable, any thread; used on the work pool.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "coordinator/gateway/api/chat_input.h"
#include "coordinator/gateway/chat/model_context.h"

namespace caudal {

class PromptEncoder {
 public:
  explicit PromptEncoder(const ModelContext& model);  // `model` outlives it

  // A raw completion prompt: the client is the author of the control tokens in it.
  std::vector<TokenId> encode_text(std::string_view text) const;
  // Errors: no template; the template refuses or fails; continue_final_message does not find the message.
  Result<std::vector<TokenId>> encode_chat(ChatInput chat) const;
  // Every way in which the words are banned: as they stand alone, and behind a space where that is other tokens.
  // An Error for one without tokens.
  Result<std::vector<std::vector<TokenId>>> encode_bad_words(std::span<const std::string> words) const;

 private:
  bool may_start_control(std::string_view text) const;
  bool needs_guard(std::string_view text) const;
  std::string guarded(std::string_view text, std::string_view guard) const;
  boost::json::array guarded(const boost::json::array& items, std::string_view guard) const;
  boost::json::object guarded(const boost::json::object& object, std::string_view guard) const;
  boost::json::value guarded(const boost::json::value& value, std::string_view guard) const;
  Result<std::string> render(const ChatTemplate& chat_template, const ChatInput& chat) const;

  const ModelContext& model_;
  std::vector<std::pair<std::string, TokenId>> control_tokens_;  // longest first
  std::array<bool, 256> starts_control_{};                       // by first byte
};

}  // namespace caudal
