// Follows one output, token by token. Its state is a function of the grammar and the accepted tokens alone.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/grammar/automata/machine.h"
#include "common/grammar/grammar.h"
#include "common/grammar/token_vocabulary.h"
#include "common/types.h"

namespace caudal::grammar {

class MaskCache;

// A copy costs a few allocations and shares the tables that are built while matching, and therefore stays on its
// original's thread; another thread makes a Matcher of its own from the same grammar.
class Matcher {
 public:
  Matcher(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenVocabulary> vocabulary);

  // False, and nothing changes, where the grammar forbids the token. An end token is accepted once is_complete().
  bool accept(TokenId token);
  // Takes the last `num_tokens` accepted tokens back.
  void rollback(std::size_t num_tokens);
  std::size_t num_tokens() const { return history_.size() - 1; }

  // Bit i of `mask` (vocabulary().mask_words() words) says whether accept(i) would be true.
  void fill_mask(std::span<std::uint64_t> mask);

  // The bytes that come next if no white space and no escape is written without need; empty where there is a choice. At
  // most `max_bytes`.
  std::string forced(std::size_t max_bytes = 256);

  // Whether the output may end here; and whether an end token was accepted.
  bool is_complete();
  bool has_ended() const { return ended_; }

  const TokenVocabulary& vocabulary() const { return *vocabulary_; }

 private:
  bool advance(std::string_view bytes, State& state);
  void add_walk(const Trie& trie, std::span<std::uint64_t> mask);
  void fill_inside(const MaskHint& hint, std::span<std::uint64_t> mask);
  void fill_whole(const MaskHint& hint, std::span<std::uint64_t> mask);
  void add_closings(std::span<std::uint64_t> mask);
  std::vector<std::uint64_t> find_followers(const State& state);

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const TokenVocabulary> vocabulary_;
  std::shared_ptr<Machine> machine_;  // shared with this matcher's copies
  std::shared_ptr<MaskCache> cache_;  // likewise
  Arena arena_;
  std::vector<State> history_;      // after 0, 1, ... tokens
  std::vector<Arena::Mark> marks_;  // likewise: what of the arena is in use
  bool ended_ = false;
};

}  // namespace caudal::grammar
