// See added_tokens.h.
#include "common/tokenizer/added_tokens.h"

#include <algorithm>

#include "common/check.h"
#include "common/text/unicode.h"

namespace caudal {
namespace {

// The code point that ends right before `end` > 0.
CodePoint last_before(std::string_view text, std::size_t end) {
  std::size_t begin = end - 1;
  while ((static_cast<std::uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
  return decode_utf8(text, begin);
}

std::size_t skip_space_left(std::string_view text, std::size_t position) {
  while (position > 0) {
    const CodePoint c = last_before(text, position);
    if (!is_space(c.value)) break;
    position -= c.num_bytes;
  }
  return position;
}

std::size_t skip_space_right(std::string_view text, std::size_t position) {
  while (position < text.size()) {
    const CodePoint c = decode_utf8(text, position);
    if (!is_space(c.value)) break;
    position += c.num_bytes;
  }
  return position;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalize& normalize) : tokens_(std::move(tokens)) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    CHECK(!tokens_[i].content.empty());
    CHECK(index_by_id_.emplace(tokens_[i].id, i).second);
    CHECK(index_by_content_.emplace(tokens_[i].content, i).second);
    if (tokens_[i].special && tokens_[i].normalized) normalizes_special_ = true;
  }
  // Of tokens with the same text (after normalization), special ones win, then earlier ones.
  for (const bool special : {true, false}) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const AddedToken& token = tokens_[i];
      if (token.special != special) continue;
      const Stage stage = token.normalized ? Stage::kNormalized : Stage::kRaw;
      const std::string key = token.normalized ? normalize(token.content) : token.content;
      tries_[static_cast<std::size_t>(stage)].insert(key, static_cast<std::int32_t>(i));
    }
  }
}

void AddedTokens::Trie::insert(std::string_view key, std::int32_t token) {
  if (key.empty()) return;  // normalized away: nothing to look for
  starts_[static_cast<std::uint8_t>(key[0])] = true;
  std::uint32_t node = 0;
  for (const char byte : key) {
    const auto [found, is_new] = next_.emplace(edge(node, byte), static_cast<std::uint32_t>(token_.size()));
    if (is_new) token_.push_back(-1);
    node = found->second;
  }
  if (token_[node] < 0) token_[node] = token;
}

std::pair<std::int32_t, std::size_t> AddedTokens::Trie::longest_prefix(std::string_view text) const {
  std::pair<std::int32_t, std::size_t> longest{-1, 0};
  if (!starts_[static_cast<std::uint8_t>(text[0])]) return longest;
  std::uint32_t node = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto found = next_.find(edge(node, text[i]));
    if (found == next_.end()) break;
    node = found->second;
    if (token_[node] >= 0) longest = {token_[node], i + 1};
  }
  return longest;
}

bool AddedTokens::stands_alone(std::string_view text, Span match) const {
  const bool free_left = match.begin == 0 || !is_word_character(last_before(text, match.begin).value);
  const bool free_right = match.end == text.size() || !is_word_character(decode_utf8(text, match.end).value);
  return free_left && free_right;
}

std::vector<Section> AddedTokens::find(std::string_view text, Stage stage, bool parse_special,
                                       std::span<const std::size_t> plain_at) const {
  const Trie& trie = tries_[static_cast<std::size_t>(stage)];
  std::vector<Section> sections;
  std::size_t start = 0;  // of the text not yet given to a section
  for (std::size_t i = 0; i < text.size();) {
    const auto [index, length] = trie.longest_prefix(text.substr(i));
    if (index < 0) {
      ++i;
      continue;
    }
    const AddedToken& token = tokens_[index];
    while (!plain_at.empty() && plain_at.front() < i) plain_at = plain_at.subspan(1);
    if (token.special && !plain_at.empty() && plain_at.front() == i) {
      ++i;
      continue;
    }
    Span match{i, i + length};
    i += length;
    if (token.special && !parse_special) continue;
    if (token.single_word && !stands_alone(text, match)) continue;
    if (token.lstrip) match.begin = std::max(skip_space_left(text, match.begin), start);
    if (token.rstrip) match.end = skip_space_right(text, match.end);
    if (start < match.begin) sections.push_back({{start, match.begin}, -1});
    sections.push_back({match, index});
    start = match.end;
  }
  if (start != text.size()) sections.push_back({{start, text.size()}, -1});
  return sections;
}

const AddedToken* AddedTokens::by_id(TokenId id) const {
  const auto found = index_by_id_.find(id);
  return found == index_by_id_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::by_content(std::string_view content) const {
  const auto found = index_by_content_.find(std::string(content));
  return found == index_by_content_.end() ? nullptr : &tokens_[found->second];
}

}  // namespace caudal
