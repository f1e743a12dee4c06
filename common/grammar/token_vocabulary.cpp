// See token_vocabulary.h.
#include "common/grammar/token_vocabulary.h"

#include <algorithm>
#include <array>
#include <optional>
#include <variant>

#include "common/grammar/automata/bits.h"
#include "common/grammar/automata/json_string.h"
#include "common/grammar/tags/free_text.h"
#include "common/text/unicode.h"
#include "common/tokenizer/tokenizer.h"

namespace caudal::grammar {
namespace {

constexpr std::uint32_t kMaxCounted = 32;  // characters that a token of these masks has at most

// What a token is within a string that it does not begin.
struct InString {
  bool is_possible = false;
  bool closes = false;
  bool escapes = false;
  std::uint32_t num_inside_bytes = 0;
  std::uint32_t num_characters = 0;
};

InString in_string(std::string_view token) {
  InString result;
  StringPlace place = StringPlace::kPlain;
  std::uint32_t escape = 0;
  for (const char c : token) {
    const StringStep step = step_string(static_cast<std::uint8_t>(c), place, escape);
    if (step.kind == StringStep::Kind::kRefused) return {};
    if (step.kind == StringStep::Kind::kClosed) {
      result.is_possible = result.closes = true;
      return result;
    }
    ++result.num_inside_bytes;
    result.escapes = result.escapes || c == '\\';
    if (step.num_bytes != 0 && begins_character(step.bytes[0])) ++result.num_characters;
  }
  if (place >= StringPlace::kBackslash) ++result.num_characters;  // the one that the escape will stand for
  result.is_possible = !token.empty();
  return result;
}

// Of a token: 0 letters and digits alone, 1 ASCII, 2 others.
std::size_t slice_of(std::string_view token) {
  const auto is_ascii = [](char c) { return c >= ' ' && c <= '~'; };
  const auto is_alphanumeric = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  if (std::ranges::all_of(token, is_alphanumeric)) return 0;
  return std::ranges::all_of(token, is_ascii) ? 1 : 2;
}

// The bytes of a token that a decoder joins with others.
class TokenBytes {
 public:
  explicit TokenBytes(const DecoderSpec& spec) : spec_(spec) {}

  std::string of(std::string_view token) const {
    std::string text(token);
    for (const auto& step : spec_) {
      if (std::holds_alternative<ByteLevelDecoder>(step)) return from_alphabet(text);
      if (std::holds_alternative<ByteFallbackDecoder>(step)) {
        if (const auto byte = fallback(text)) return std::string(1, *byte);
      }
      if (const auto* replace = std::get_if<ReplaceDecoder>(&step)) text = replace->step->apply(text);
      if (const auto* space = std::get_if<MetaspaceDecoder>(&step)) replace_all(text, space->replacement);
    }
    return text;
  }

 private:
  static std::string from_alphabet(const std::string& text) {
    std::string bytes;
    for (std::size_t i = 0; i < text.size();) {
      const CodePoint c = decode_utf8(text, i);
      i += c.num_bytes;
      const int byte = alphabet_to_byte(c.value);
      if (byte < 0) return text;
      bytes += static_cast<char>(byte);
    }
    return bytes;
  }
  static std::optional<char> fallback(std::string_view text) {
    if (text.size() != 6 || !text.starts_with("<0x") || !text.ends_with('>')) return std::nullopt;
    int value = 0;
    for (const char c : text.substr(3, 2)) {
      const auto digit = std::string_view("0123456789ABCDEF").find(c);
      if (digit == std::string_view::npos) return std::nullopt;
      value = value * 16 + static_cast<int>(digit);
    }
    return static_cast<char>(value);
  }
  static void replace_all(std::string& text, const std::string& what) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
      text.replace(at, what.size(), " ");
  }

  const DecoderSpec& spec_;
};

using Entries = std::vector<std::pair<std::string_view, std::uint32_t>>;

Entries with_ids(const std::vector<std::string>& tokens) {
  Entries values;
  for (std::uint32_t id = 0; id < tokens.size(); ++id) {
    if (!tokens[id].empty()) values.emplace_back(tokens[id], id);
  }
  return values;
}

}  // namespace

TokenVocabulary::TokenVocabulary(std::vector<std::string> tokens, std::vector<TokenId> end_tokens)
    : tokens_(std::move(tokens)), end_tokens_(std::move(end_tokens)), trie_(with_ids(tokens_)) {
  inside_.assign(kMaxCounted + 2, std::vector<std::uint64_t>(mask_words(), 0));
  Entries rests;
  Entries closing_texts;
  Entries escapes;
  Entries escaped_closings;
  std::array<Entries, 3> slices;
  for (std::uint32_t id = 0; id < tokens_.size(); ++id) {
    const InString what = in_string(tokens_[id]);
    if (!what.is_possible) continue;
    if (what.escapes) escapes.emplace_back(tokens_[id], id);
    const Closing token{id, what.num_inside_bytes, what.num_characters};
    if (what.closes && what.escapes) {
      escaped_closings.emplace_back(tokens_[id], id);
    } else if (what.closes) {
      const auto index = static_cast<std::uint32_t>(closings_.size());
      rests.emplace_back(std::string_view(tokens_[id]).substr(what.num_inside_bytes + 1), index);
      closing_texts.emplace_back(tokens_[id], index);
      closings_.push_back(token);
    } else {
      for (std::size_t n = what.num_characters; n <= kMaxCounted; ++n) add_bit(inside_[n].data(), id);
      add_bit(inside_.back().data(), id);
      if (what.num_characters > kMaxCounted) long_tokens_.push_back(token);
      if (!what.escapes) slices[slice_of(tokens_[id])].emplace_back(tokens_[id], id);
    }
  }
  rests_ = Trie(std::move(rests));
  closing_texts_ = Trie(std::move(closing_texts));
  escapes_ = Trie(std::move(escapes));
  escaped_closings_ = Trie(std::move(escaped_closings));
  for (std::size_t i = 0; i < slices.size(); ++i) add_slice(i, std::move(slices[i]));
}

void TokenVocabulary::add_slice(std::size_t index, std::vector<std::pair<std::string_view, std::uint32_t>> tokens) {
  Slice slice{"", std::vector<std::uint64_t>(mask_words(), 0), Trie({})};
  for (const auto& [text, id] : tokens) add_bit(slice.mask.data(), id);
  for (int c = ' '; c <= '~' && index < 2; ++c) {
    const std::string text(1, static_cast<char>(c));
    if (c != '"' && c != '\\' && slice_of(text) <= index) slice.alphabet += text;
  }
  slice.trie = Trie(std::move(tokens));
  slices_.push_back(std::move(slice));
}

TokenVocabulary TokenVocabulary::of(const Tokenizer& tokenizer, std::vector<TokenId> end_tokens) {
  const TokenBytes bytes(tokenizer.decoder());
  std::vector<std::string> tokens(static_cast<std::size_t>(tokenizer.vocab_size()));
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    const auto token = tokenizer.id_to_token(id);
    if (!token) continue;
    tokens[static_cast<std::size_t>(id)] =
        tokenizer.is_special(id) ? kSpecialToken + std::string(*token) : bytes.of(*token);
  }
  return {std::move(tokens), std::move(end_tokens)};
}

bool TokenVocabulary::is_end(TokenId token) const { return std::ranges::find(end_tokens_, token) != end_tokens_.end(); }

void TokenVocabulary::add_inside(std::uint32_t num_characters, std::span<std::uint64_t> mask) const {
  const bool is_unlimited = num_characters == ~0U;
  const auto& inside = inside_[is_unlimited ? kMaxCounted + 1 : std::min(num_characters, kMaxCounted)];
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] |= inside[i];
  if (is_unlimited) return;
  for (const Closing& token : long_tokens_) {
    if (token.num_inside_characters <= num_characters) add_bit(mask.data(), token.token);
  }
}

}  // namespace caudal::grammar
