// See hf_tokenizer.h.
#include "common/tokenizer/hf_tokenizer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/check.h"
#include "common/text/unicode.h"

namespace caudal {

HfTokenizer::HfTokenizer(HfParts parts) : parts_(std::move(parts)) {
  TokenId end = parts_.model.end_id();
  for (const AddedToken& token : parts_.added.tokens()) end = std::max(end, token.id + 1);
  tokens_.resize(end);
  for (TokenId id = 0; id < parts_.model.end_id(); ++id) tokens_[id].token = parts_.model.id_to_token(id);
  for (const AddedToken& token : parts_.added.tokens()) tokens_[token.id] = {token.content, token.special};
}

std::vector<TokenId> HfTokenizer::encode(std::string_view text, EncodeOptions options) const {
  CHECK(text.size() < static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()));
  std::string repaired;
  if (!is_valid_utf8(text)) {
    Utf8Repair repair;
    repair.push(text, repaired);
    repair.finish(repaired);
    text = repaired;
  }
  std::vector<TokenId> output;
  if (options.add_special_tokens) output = parts_.surrounding.before;
  BpeModel::Scratch scratch;
  for (const Section& section : parts_.added.find(text, AddedTokens::Stage::kRaw, options.parse_special)) {
    if (section.token >= 0) {
      output.push_back(parts_.added.tokens()[section.token].id);
    } else {
      encode_section(section.span.of(text), section.span.begin == 0, options.parse_special, scratch, output);
    }
  }
  if (options.add_special_tokens) {
    output.insert(output.end(), parts_.surrounding.after.begin(), parts_.surrounding.after.end());
  }
  return output;
}

void HfTokenizer::encode_section(std::string_view text, bool starts_input, bool parse_special,
                                 BpeModel::Scratch& scratch, std::vector<TokenId>& output) const {
  const std::string normalized = parts_.normalizer.normalize(text);
  for (const Section& section : parts_.added.find(normalized, AddedTokens::Stage::kNormalized, parse_special)) {
    if (section.token >= 0) {
      output.push_back(parts_.added.tokens()[section.token].id);
      continue;
    }
    const Words words =
        parts_.pre_tokenizer.split(std::string(section.span.of(normalized)), starts_input && section.span.begin == 0);
    for (const Span& word : words.spans) parts_.model.encode(word.of(words.text), scratch, output);
  }
}

std::optional<TokenId> HfTokenizer::token_to_id(std::string_view token) const {
  if (const AddedToken* added = parts_.added.by_content(token)) return added->id;
  return parts_.model.token_to_id(token);
}

std::optional<std::string_view> HfTokenizer::id_to_token(TokenId id) const {
  if (id < 0 || id >= vocab_size() || tokens_[id].token.empty()) return std::nullopt;
  return tokens_[id].token;
}

bool HfTokenizer::is_special(TokenId id) const { return id >= 0 && id < vocab_size() && tokens_[id].special; }

}  // namespace caudal
