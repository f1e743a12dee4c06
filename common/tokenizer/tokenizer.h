// Text to token ids and back, for the tokenizers that Hugging Face models publish as tokenizer.json: byte-level BPE
// (GPT-2, Llama 3, Qwen), SentencePiece's BPE (Llama 2, Mistral) and Unigram (T5, XLM-R), WordPiece (BERT), WordLevel.
// Ids equal those of the Python package `tokenizers`. Immutable after loading: any thread may use one.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/tokenizer/decoder.h"
#include "common/types.h"

namespace caudal {

struct EncodeOptions {
  bool add_special_tokens = true;  // what the model wants around every text, such as BOS
  bool parse_special = true;       // the text of a special token means that token; otherwise it is plain text
  // Offsets into the text, ascending: no special token begins there, whatever the text is. The text is valid UTF-8.
  std::span<const std::size_t> plain_at = {};
};

// Tokens with a role, from tokenizer_config.json.
struct NamedTokens {
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::optional<TokenId> pad;
  std::optional<TokenId> unk;
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Linear time (n log n within a word). Bytes that are not UTF-8 count as U+FFFD. Texts of 2^31 bytes or
  // more are a caller's bug.
  virtual std::vector<TokenId> encode(std::string_view text, EncodeOptions options = {}) const = 0;

  // The text of all ids at once. Ids without a token are left out. Valid UTF-8.
  std::string decode(std::span<const TokenId> ids, bool skip_special_tokens) const;

  // One more than the largest id.
  virtual TokenId vocab_size() const = 0;
  virtual std::optional<TokenId> token_to_id(std::string_view token) const = 0;
  // The token as the vocabulary spells it ("Ġhello"), valid as long as the tokenizer.
  virtual std::optional<std::string_view> id_to_token(TokenId id) const = 0;
  virtual bool is_special(TokenId id) const = 0;
  virtual const NamedTokens& named_tokens() const = 0;
  // How token texts become text again; used by IncrementalDetokenizer.
  virtual const DecoderSpec& decoder() const = 0;
};

}  // namespace caudal
