// The exact bytes of single tokens, for logprobs. One for all requests of a model; any thread.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "common/tokenizer/tokenizer.h"

namespace caudal {

class TokenBytes {
 public:
  explicit TokenBytes(const Tokenizer& tokenizer);  // which outlives it
  ~TokenBytes();
  TokenBytes(const TokenBytes&) = delete;
  TokenBytes& operator=(const TokenBytes&) = delete;

  // The bytes that the token adds in the middle of a text; half a character where a token is half a character. It takes
  // a detokenizer to find out, so that they are kept. Empty for an id that the tokenizer does not have.
  const std::string& of(TokenId id) const;

 private:
  const Tokenizer& tokenizer_;
  mutable std::vector<std::atomic<const std::string*>> known_;  // by id; owned; null until somebody asks
};

// As a readable name: the text, or "bytes:\xf0\x9f" when it is not whole characters (OpenAI's convention).
std::string token_name(const std::string& bytes);

}  // namespace caudal
