// Text of a stream of tokens, as it becomes certain. Owned by one stream, used by one thread at a time.
#pragma once

#include <string>

#include "common/tokenizer/tokenizer.h"

namespace caudal {

// Invariant: all deltas and the result of finish() together are decode() of all ids. A delta never ends
// inside a character. What is held back: incomplete characters, and with byte fallback a run of byte tokens
// until it ends (one wrong byte turns the whole run into replacement characters).
class IncrementalDetokenizer {
 public:
  // `tokenizer` must outlive the object.
  IncrementalDetokenizer(const Tokenizer& tokenizer, bool skip_special_tokens)
      : tokenizer_(tokenizer), skip_special_tokens_(skip_special_tokens), chain_(tokenizer.decoder()) {}

  // Appends the delta of the next token to `output`. Amortised constant time.
  void push(TokenId id, std::string& output);
  std::string push(TokenId id);

  // Appends what was held back, incomplete characters as U+FFFD. The stream is over.
  void finish(std::string& output) { chain_.finish(output); }
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_tokens_;
  DecoderChain chain_;
};

}  // namespace caudal
