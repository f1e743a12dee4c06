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
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/result.h"
#include "common/tokenizer/pair_table.h"
#include "common/types.h"

namespace caudal {

// Ids must be below this; no published vocabulary comes near.
inline constexpr TokenId kMaxTokenId = 1 << 22;

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
};

class BpeModel {
 public:
  // Errors (field = path below "model"): an id out of range or used twice, a merge or unk_token that is
  // not in the vocabulary.
  static Result<BpeModel> create(BpeConfig config);

  BpeModel(BpeModel&&) noexcept = default;
  BpeModel& operator=(BpeModel&&) noexcept = default;

  // Memory of encode, kept between words so that short words allocate nothing.
  struct Scratch {
    struct Symbol {
      TokenId id;
      std::int32_t previous;  // index, -1 at the front
      std::int32_t next;      // index, -1 at the end
      bool removed;           // joined into the symbol before it
    };
    std::vector<Symbol> symbols;
    std::vector<std::uint64_t> heap;  // pairs that join, as rank << 32 | index of the left: smallest first
  };

  // Appends the tokens of `word` (valid UTF-8, below 2^31 bytes).
  void encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& output) const;

  std::optional<TokenId> token_to_id(std::string_view token) const;
  // Empty view for an id that has no token.
  std::string_view id_to_token(TokenId id) const;
  // One more than the largest id.
  TokenId end_id() const { return static_cast<TokenId>(tokens_.size()); }

 private:
  BpeModel() = default;
  Result<void> add_tokens(std::vector<std::pair<std::string, TokenId>>&& vocab);
  Result<void> add_merges(const std::vector<std::pair<std::string, std::string>>& merges);
  void add_merges_by_score(const std::vector<double>& scores);
  void add_byte_tokens();

  TokenId character_id(std::string_view character) const;
  void split_characters(std::string_view word, std::vector<Scratch::Symbol>& symbols) const;
  bool append_bytes(std::string_view character, std::vector<Scratch::Symbol>& symbols) const;
  bool push_candidate(Scratch& scratch, std::int32_t left) const;
  void merge(Scratch& scratch) const;

  std::vector<std::string> tokens_;                    // by id; empty where the id is not used
  std::unordered_map<std::string_view, TokenId> ids_;  // views into tokens_
  PairTable merges_;                                   // (left id, right id) -> (rank, joined id)
  std::array<TokenId, 0x250> small_character_ids_{};   // of characters below U+0250; -1 = not a token
  std::array<TokenId, 256> byte_ids_{};                // of <0x00>..<0xFF>; -1 = not a token
  std::optional<TokenId> unk_id_;
  bool fuse_unk_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
};

}  // namespace caudal
