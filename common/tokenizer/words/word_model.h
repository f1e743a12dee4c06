// What turns one word into tokens. Immutable after creation; safe from any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "common/tokenizer/words/vocabulary.h"

namespace caudal {

// Memory of encode, kept between words so that short words allocate nothing.
struct WordScratch {
  struct Symbol {
    TokenId id;
    std::int32_t previous;  // index, -1 at the front
    std::int32_t next;      // index, -1 at the end
    bool removed;           // joined into the symbol before it
  };
  std::vector<Symbol> symbols;
  std::vector<std::uint64_t> heap;  // pairs that join, as rank << 32 | index of the left: smallest first

  // The best way to a place in the word, by its last token.
  struct PathEnd {
    double score;
    std::int32_t start;  // of the last token; -1: no way yet
    TokenId token;
  };
  std::vector<PathEnd> path;
  std::vector<TokenId> backwards;
};

class WordModel {
 public:
  virtual ~WordModel() = default;

  // Appends the tokens of `word` (valid UTF-8, below 2^31 bytes).
  virtual void encode(std::string_view word, WordScratch& scratch, std::vector<TokenId>& output) const = 0;

  std::optional<TokenId> token_to_id(std::string_view token) const { return vocabulary_.token_to_id(token); }
  std::string_view id_to_token(TokenId id) const { return vocabulary_.id_to_token(id); }
  TokenId end_id() const { return vocabulary_.end_id(); }

 protected:
  WordModel() = default;
  explicit WordModel(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  WordModel(WordModel&&) noexcept = default;
  WordModel& operator=(WordModel&&) noexcept = default;

  Vocabulary vocabulary_;
};

}  // namespace caudal
