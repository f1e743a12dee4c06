// The tokens of a model as bytes, and what of their masks depends on no grammar. Built once, shared by all threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/grammar/automata/trie.h"
#include "common/types.h"

namespace caudal {
class Tokenizer;
}

namespace caudal::grammar {

class TokenVocabulary {
 public:
  // By token id; an empty string is a token that no grammar allows (unused). `end_tokens` end an output.
  TokenVocabulary(std::vector<std::string> tokens, std::vector<TokenId> end_tokens);
  // Of a tokenizer. A special token has the bytes kSpecialToken and its text (tags/free_text.h).
  static TokenVocabulary of(const Tokenizer& tokenizer, std::vector<TokenId> end_tokens);

  std::size_t size() const { return tokens_.size(); }
  std::size_t mask_words() const { return (tokens_.size() + 63) / 64; }
  std::string_view bytes(TokenId token) const { return tokens_[static_cast<std::size_t>(token)]; }
  const std::vector<TokenId>& end_tokens() const { return end_tokens_; }
  bool is_end(TokenId token) const;
  const Trie& trie() const { return trie_; }

  // --- What JSON strings allow, whatever the schema ---
  // A token without escapes that ends a string which began before it: `inside` + '"' + `rest`.
  struct Closing {
    std::uint32_t token;
    std::uint32_t num_inside_bytes;
    std::uint32_t num_inside_characters;
  };
  // Sets the bits of the tokens that stay in the string and add at most `num_characters` characters to it.
  void add_inside(std::uint32_t num_characters, std::span<std::uint64_t> mask) const;
  const std::vector<Closing>& closings() const { return closings_; }
  // The rests of the closings; values are indices of closings().
  const Trie& rests() const { return rests_; }
  // The closings as whole tokens; values are indices of closings().
  const Trie& closing_texts() const { return closing_texts_; }
  // The tokens with a backslash before the string ends, if it does; and those of them that end it.
  const Trie& escapes() const { return escapes_; }
  const Trie& escaped_closings() const { return escaped_closings_; }
  // The tokens that stay in a string and need no escape, parted by the bytes they are made of. `alphabet` is one string
  // of all these bytes, or empty where there are too many to tell.
  struct Slice {
    std::string alphabet;
    std::vector<std::uint64_t> mask;
    Trie trie;
  };
  const std::vector<Slice>& slices() const { return slices_; }
  // The tokens of more characters than most that stay in a string.
  const std::vector<Closing>& long_tokens() const { return long_tokens_; }

 private:
  void add_slice(std::size_t index, std::vector<std::pair<std::string_view, std::uint32_t>> tokens);

  std::vector<std::string> tokens_;
  std::vector<TokenId> end_tokens_;
  Trie trie_;
  std::vector<Closing> closings_;
  Trie rests_{{}};
  Trie closing_texts_{{}};
  Trie escapes_{{}};
  Trie escaped_closings_{{}};
  std::vector<std::vector<std::uint64_t>> inside_;  // masks by the number of characters; the last one has no limit
  std::vector<Closing> long_tokens_;
  std::vector<Slice> slices_;
};

}  // namespace caudal::grammar
