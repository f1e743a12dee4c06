// See hf_tokenizer.h.
#include "common/tokenizer/hf_tokenizer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/check.h"
#include "common/text/marks.h"
#include "common/text/unicode.h"

namespace caudal {
namespace {

std::vector<std::size_t> offsets_within(Span span, std::span<const std::size_t> offsets) {
  std::vector<std::size_t> within;
  for (auto at = std::ranges::lower_bound(offsets, span.begin); at != offsets.end() && *at < span.end; ++at)
    within.push_back(*at - span.begin);
  return within;
}

}  // namespace

HfTokenizer::HfTokenizer(HfParts parts) : parts_(std::move(parts)) {
  TokenId end = parts_.model->end_id();
  for (const AddedToken& token : parts_.added.tokens()) end = std::max(end, token.id + 1);
  tokens_.resize(end);
  for (TokenId id = 0; id < parts_.model->end_id(); ++id) tokens_[id].token = parts_.model->id_to_token(id);
  for (const AddedToken& token : parts_.added.tokens()) tokens_[token.id] = {token.content, token.special};
}

std::vector<TokenId> HfTokenizer::encode(std::string_view text, EncodeOptions options) const {
  CHECK(text.size() < static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()));
  std::string repaired;
  if (!is_valid_utf8(text)) {
    CHECK(options.plain_at.empty());
    Utf8Repair repair;
    repair.push(text, repaired);
    repair.finish(repaired);
    text = repaired;
  }
  std::vector<TokenId> output;
  if (options.add_special_tokens) output = parts_.surrounding.before;
  WordScratch scratch;
  for (const Section& section :
       parts_.added.find(text, AddedTokens::Stage::kRaw, options.parse_special, options.plain_at)) {
    if (section.token >= 0) {
      output.push_back(parts_.added.tokens()[section.token].id);
      continue;
    }
    encode_section({section.span.of(text), section.span.begin == 0, options.parse_special,
                    offsets_within(section.span, options.plain_at)},
                   scratch, output);
  }
  if (options.add_special_tokens) {
    output.insert(output.end(), parts_.surrounding.after.begin(), parts_.surrounding.after.end());
  }
  return output;
}

void HfTokenizer::encode_section(RawSection section, WordScratch& scratch, std::vector<TokenId>& output) const {
  const std::string normalized = normalize(section);
  for (const Section& part :
       parts_.added.find(normalized, AddedTokens::Stage::kNormalized, section.parse_special, section.plain_at)) {
    if (part.token >= 0) {
      output.push_back(parts_.added.tokens()[part.token].id);
      continue;
    }
    const Words words =
        parts_.pre_tokenizer.split(std::string(part.span.of(normalized)), section.starts_input && part.span.begin == 0);
    for (const Span& word : words.spans) parts_.model->encode(word.of(words.text), scratch, output);
  }
}

std::string HfTokenizer::normalize(RawSection& section) const {
  if (section.plain_at.empty() || !parts_.added.normalizes_special()) return parts_.normalizer.normalize(section.text);
  const std::string mark =
      find_mark([&](std::string_view each) { return section.text.find(each) != section.text.npos; });
  if (!mark.empty()) {
    const std::string marked = parts_.normalizer.normalize(put_marks(section.text, section.plain_at, mark));
    UnmarkedText normalized = take_marks(marked, mark);
    const bool all_kept = normalized.offsets.size() == section.plain_at.size();
    section.plain_at = std::move(normalized.offsets);
    if (all_kept) return std::move(normalized.text);
  }
  section.parse_special = false;
  return parts_.normalizer.normalize(section.text);
}

std::optional<TokenId> HfTokenizer::token_to_id(std::string_view token) const {
  if (const AddedToken* added = parts_.added.by_content(token)) return added->id;
  return parts_.model->token_to_id(token);
}

std::optional<std::string_view> HfTokenizer::id_to_token(TokenId id) const {
  if (id < 0 || id >= vocab_size() || tokens_[id].token.empty()) return std::nullopt;
  return tokens_[id].token;
}

bool HfTokenizer::is_special(TokenId id) const { return id >= 0 && id < vocab_size() && tokens_[id].special; }

}  // namespace caudal
