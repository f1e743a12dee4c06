// WordPiece, as BERT has it: a word is the longest token that it begins with, and so on with the rest of it. And
// WordLevel: a word is a token or unknown.
#pragma once

#include <string>
#include <vector>

#include "common/tokenizer/words/word_model.h"

namespace caudal {

struct WordPieceConfig {
  std::vector<std::pair<std::string, TokenId>> vocab;
  std::string unk_token;           // for a word that cannot be cut into tokens
  std::string continuing_prefix;   // of every token but the first of a word, in the vocabulary
  std::size_t max_characters = 0;  // of a word; a longer one is unknown
};

class WordPieceModel final : public WordModel {
 public:
  // Errors (field = path below "model"): those of the vocabulary, an unk_token that is not in it.
  static Result<WordPieceModel> create(WordPieceConfig config);

  void encode(std::string_view word, WordScratch& scratch, std::vector<TokenId>& output) const override;

 private:
  WordPieceModel(Vocabulary vocabulary, WordPieceConfig config, TokenId unk_id);
  std::pair<TokenId, std::size_t> longest_token(std::string_view rest, std::string_view prefix,
                                                std::string& spelled) const;

  std::string continuing_prefix_;
  std::size_t max_characters_;
  std::size_t longest_ = 0;  // token, in bytes
  TokenId unk_id_;
};

class WordLevelModel final : public WordModel {
 public:
  // Errors as above.
  static Result<WordLevelModel> create(std::vector<std::pair<std::string, TokenId>> vocab, std::string_view unk_token);

  void encode(std::string_view word, WordScratch& scratch, std::vector<TokenId>& output) const override;

 private:
  WordLevelModel(Vocabulary vocabulary, TokenId unk_id) : WordModel(std::move(vocabulary)), unk_id_(unk_id) {}

  TokenId unk_id_;
};

}  // namespace caudal
