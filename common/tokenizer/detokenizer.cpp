// See detokenizer.h. Decoding at once is the same chain, fed in a loop.
#include "common/tokenizer/detokenizer.h"

namespace caudal {

void IncrementalDetokenizer::push(TokenId id, std::string& output) {
  const std::optional<std::string_view> token = tokenizer_.id_to_token(id);
  if (!token || (skip_special_tokens_ && tokenizer_.is_special(id))) return;
  chain_.push(*token, output);
}

std::string IncrementalDetokenizer::push(TokenId id) {
  std::string delta;
  push(id, delta);
  return delta;
}

std::string IncrementalDetokenizer::finish() {
  std::string delta;
  finish(delta);
  return delta;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special_tokens) const {
  std::string text;
  IncrementalDetokenizer detokenizer(*this, skip_special_tokens);
  for (const TokenId id : ids) detokenizer.push(id, text);
  detokenizer.finish(text);
  return text;
}

}  // namespace caudal
