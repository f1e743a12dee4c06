// The text and the exact bytes of single tokens, for logprobs. Any thread.
#pragma once

#include <string>

#include "common/tokenizer/tokenizer.h"

namespace caudal {

// The bytes the token adds in the middle of a text; half a character where a token is half a character.
std::string token_bytes(const Tokenizer& tokenizer, TokenId id);

// As a readable name: the text, or "bytes:\xf0\x9f" when it is not whole characters (OpenAI's convention).
std::string token_name(const std::string& bytes);

}  // namespace caudal
