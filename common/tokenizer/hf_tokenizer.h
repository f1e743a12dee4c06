// The tokenizer of a tokenizer.json: added tokens, normalizer, pre-tokenizer, the model of words, and the tokens around
// the text, in this order. Built by hf_json.cpp. Immutable; safe from any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/tokenizer/added_tokens.h"
#include "common/tokenizer/normalizer.h"
#include "common/tokenizer/pretokenizer.h"
#include "common/tokenizer/tokenizer.h"
#include "common/tokenizer/words/word_model.h"

namespace caudal {

// What the post-processor puts around a text.
struct SurroundingTokens {
  std::vector<TokenId> before;
  std::vector<TokenId> after;
};

struct HfParts {
  AddedTokens added;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  std::unique_ptr<const WordModel> model;
  SurroundingTokens surrounding;
  DecoderSpec decoder;
  NamedTokens named;
};

class HfTokenizer final : public Tokenizer {
 public:
  explicit HfTokenizer(HfParts parts);

  std::vector<TokenId> encode(std::string_view text, EncodeOptions options) const override;
  TokenId vocab_size() const override { return static_cast<TokenId>(tokens_.size()); }
  std::optional<TokenId> token_to_id(std::string_view token) const override;
  std::optional<std::string_view> id_to_token(TokenId id) const override;
  bool is_special(TokenId id) const override;
  const NamedTokens& named_tokens() const override { return parts_.named; }
  const DecoderSpec& decoder() const override { return parts_.decoder; }

 private:
  struct IdEntry {
    std::string_view token;  // of parts_; empty when the id has none
    bool special = false;
  };

  // Text without an added token of the raw stage.
  struct RawSection {
    std::string_view text;
    bool starts_input;
    bool parse_special;
    std::vector<std::size_t> plain_at;  // offsets into `text`
  };
  void encode_section(RawSection section, WordScratch& scratch, std::vector<TokenId>& output) const;
  // The normalized text. Moves plain_at along with it; where that fails, no special token is looked for.
  std::string normalize(RawSection& section) const;

  HfParts parts_;
  std::vector<IdEntry> tokens_;  // by id
};

}  // namespace caudal
