// A tokenizer of 256 byte tokens and a few control tokens: every text has known ids and every cut of a character
// can be made. For tests of the gateways.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/unicode.h"
#include "common/tokenizer/tokenizer.h"

namespace caudal {

class ByteTokenizer final : public Tokenizer {
 public:
  static constexpr std::array<std::string_view, 4> kControl{"<|end|>", "<|user|>", "<|assistant|>", "<|bos|>"};
  static constexpr TokenId kEnd = 256;
  static constexpr TokenId kBos = 259;
  static constexpr TokenId kVocabSize = 260;

  std::vector<TokenId> encode(std::string_view text, EncodeOptions options) const override {
    std::vector<TokenId> ids;
    if (options.add_special_tokens) ids.push_back(kBos);
    for (std::size_t i = 0; i < text.size();) {
      const bool plain = !options.parse_special || std::ranges::find(options.plain_at, i) != options.plain_at.end();
      const TokenId control = plain ? -1 : control_at(text.substr(i));
      ids.push_back(control >= 0 ? control : static_cast<unsigned char>(text[i]));
      i += control >= 0 ? kControl[static_cast<std::size_t>(control - 256)].size() : 1;
    }
    return ids;
  }
  TokenId vocab_size() const override { return kVocabSize; }
  std::optional<TokenId> token_to_id(std::string_view token) const override {
    const TokenId control = control_at(token);
    return control >= 0 ? std::optional<TokenId>(control) : std::nullopt;
  }
  std::optional<std::string_view> id_to_token(TokenId id) const override {
    if (id < 0 || id >= kVocabSize) return std::nullopt;
    if (id >= 256) return kControl[static_cast<std::size_t>(id - 256)];
    return byte_to_alphabet(static_cast<std::uint8_t>(id));
  }
  bool is_special(TokenId id) const override { return id >= 256; }
  const NamedTokens& named_tokens() const override { return named_; }
  const DecoderSpec& decoder() const override { return decoder_; }

 private:
  static TokenId control_at(std::string_view text) {
    for (std::size_t i = 0; i < kControl.size(); ++i) {
      if (text.starts_with(kControl[i])) return static_cast<TokenId>(256 + i);
    }
    return -1;
  }

  NamedTokens named_{kBos, kEnd, std::nullopt, std::nullopt};
  DecoderSpec decoder_{ByteLevelDecoder{}};
};

}  // namespace caudal
