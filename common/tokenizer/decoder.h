// The decoder: turns the texts of tokens back into text, as a chain of streaming steps. Each step passes
// on what is certain and holds back the rest, so decoding at once and decoding token by token are the
// same code and give the same bytes. A chain belongs to one thread; its specification is shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/tokenizer/normalizer.h"

namespace caudal {

// The byte-level alphabet back to bytes; a token with other characters stands for its own UTF-8.
struct ByteLevelDecoder {};
// Runs of <0xHH> become bytes; a run that is not UTF-8 becomes one U+FFFD per token.
struct ByteFallbackDecoder {};
// From here on, all that follows is one token.
struct FuseDecoder {};
struct ReplaceDecoder {
  std::shared_ptr<const ReplaceStep> step;  // shared with the chains that are open
};
// Removes up to `start` times `content` from the front of each token and up to `stop` from its end.
struct StripDecoder {
  std::string content;  // one character
  std::size_t start;
  std::size_t stop;
};
// `replacement` becomes a space; in the first token it is dropped instead if `drop_in_first`.
struct MetaspaceDecoder {
  std::string replacement;  // one character
  bool drop_in_first;
};
// `suffix` becomes a space, in the last token nothing.
struct WordSuffixDecoder {
  std::string suffix;  // not empty
};
// A token with `prefix` continues the one before, others get a space in front; with `cleanup`, spaces before
// punctuation and parts of English contractions go.
struct WordPieceDecoder {
  std::string prefix;
  bool cleanup;
};
// A space between tokens, for tokenizers that have no decoder.
struct JoinDecoder {};

using DecoderSpec =
    std::vector<std::variant<ByteLevelDecoder, ByteFallbackDecoder, FuseDecoder, ReplaceDecoder, StripDecoder,
                             MetaspaceDecoder, WordSuffixDecoder, WordPieceDecoder, JoinDecoder>>;

// Receives tokens as pieces of text; pieces never split a character, except before ByteLevelDecoder.
class DecoderSink {
 public:
  virtual ~DecoderSink() = default;
  virtual void text(std::string_view piece) = 0;
  virtual void end_token() = 0;
  virtual void finish() = 0;  // no token is open; passes on all that is held back
};

class DecoderChain {
 public:
  explicit DecoderChain(const DecoderSpec& spec);
  ~DecoderChain();

  // Appends to `output` what became certain.
  void push(std::string_view token, std::string& output);
  // Ends the text. The chain takes no token after it.
  void finish(std::string& output);

 private:
  class Output;
  std::unique_ptr<Output> output_;
  std::vector<std::unique_ptr<DecoderSink>> steps_;  // from last to first
  DecoderSink* first_;
};

}  // namespace caudal
