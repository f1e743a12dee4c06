// Byte pair encoding (Sennrich et al., arXiv 1508.07909) of one word: repeatedly joins the adjacent pair
// of lowest rank, leftmost first. O(n log n) in the length of the word, by a heap over a linked list.
// Immutable after creation; safe from any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/result.h"
#include "common/tokenizer/words/pair_table.h"
#include "common/tokenizer/words/word_model.h"

namespace caudal {

struct BpeConfig {
  std::vector<std::pair<std::string, TokenId>> vocab;
  std::vector<std::pair<std::string, std::string>> merges;  // by rank; the joined token is in the vocabulary
  // Instead of merges, as SentencePiece has it: two tokens join where they make one of the vocabulary, the best score
  // first. By id; minus infinity: nothing joins to this token.
  std::vector<double> scores;
  std::optional<std::string> unk_token;  // for characters not in the vocabulary; without it they are dropped
  bool fuse_unk = false;                 // adjacent unknown characters give one unk_token
  bool byte_fallback = false;            // unknown characters become tokens <0x00>..<0xFF>, if all are there
  bool ignore_merges = false;            // a word that is a token is that token, whatever the merges say
  std::string continuing_prefix;         // of every character but the first of a word, in the vocabulary
  std::string word_suffix;               // of the last one
};

class BpeModel final : public WordModel {
 public:
  // Errors (field = path below "model"): those of the vocabulary, a merge or unk_token that is not in it.
  static Result<BpeModel> create(BpeConfig config);

  void encode(std::string_view word, WordScratch& scratch, std::vector<TokenId>& output) const override;

 private:
  BpeModel() = default;
  Result<void> add_merges(const std::vector<std::pair<std::string, std::string>>& merges);
  void add_merges_by_score(const std::vector<double>& scores);
  void add_byte_tokens();

  TokenId character_id(std::string_view character) const;
  void split_characters(std::string_view word, std::vector<WordScratch::Symbol>& symbols) const;
  bool append_bytes(std::string_view character, std::vector<WordScratch::Symbol>& symbols) const;
  bool push_candidate(WordScratch& scratch, std::int32_t left) const;
  void merge(WordScratch& scratch) const;

  PairTable merges_;                                  // (left id, right id) -> (rank, joined id)
  std::array<TokenId, 0x250> small_character_ids_{};  // of characters below U+0250; -1 = not a token
  std::array<TokenId, 256> byte_ids_{};               // of <0x00>..<0xFF>; -1 = not a token
  std::string continuing_prefix_;
  std::string word_suffix_;
  std::optional<TokenId> unk_id_;
  bool fuse_unk_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
};

}  // namespace caudal
