// Unigram (Kudo, arXiv 1804.10959): of all ways to cut a word into tokens the one with the highest sum of scores, found
// by Viterbi's algorithm over a trie of the vocabulary. Linear in the word times the longest token.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "common/tokenizer/words/pair_table.h"
#include "common/tokenizer/words/word_model.h"

namespace caudal {

struct UnigramConfig {
  std::vector<std::string> tokens;  // by id
  std::vector<double> scores;       // as many
  TokenId unk_id = 0;               // for characters that no token has
  bool byte_fallback = false;       // which become tokens <0x00>..<0xFF> instead, if all are there
};

class UnigramModel final : public WordModel {
 public:
  // Errors (field = path below "model"): those of the vocabulary, an unk_id that is not in it.
  static Result<UnigramModel> create(UnigramConfig config);

  void encode(std::string_view word, WordScratch& scratch, std::vector<TokenId>& output) const override;

 private:
  UnigramModel(Vocabulary vocabulary, UnigramConfig config);
  void add_tries();
  void find_path(std::string_view word, std::vector<WordScratch::PathEnd>& path) const;
  void push_unknown(std::string_view text, std::vector<TokenId>& backwards) const;

  std::vector<double> scores_;
  TokenId unk_id_;
  double unk_score_;
  bool byte_fallback_;
  PairTable edges_;                      // of the trie: (node, byte) -> (0, node); node 0 is the root
  std::vector<TokenId> token_of_node_;   // -1: none ends here
  std::array<TokenId, 256> byte_ids_{};  // of <0x00>..<0xFF>; -1 = not a token
};

}  // namespace caudal
