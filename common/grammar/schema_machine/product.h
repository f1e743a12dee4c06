// Several automata and a list of words that read the same string side by side. States are found while it runs. One
// thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/grammar/automata/bits.h"
#include "common/grammar/automata/lazy_dfa.h"
#include "common/grammar/automata/trie.h"

namespace caudal::grammar {

// Words by index, as bits.
using WordSet = std::vector<std::uint64_t>;

class Product {
 public:
  static constexpr std::uint32_t kUnknown = ~0U;

  // `words` are sorted and different; `groups` are sets of them that matter each by itself. The automata outlive it.
  Product(std::vector<std::string> words, std::vector<WordSet> groups, std::vector<LazyDfa*> automata);

  std::uint32_t start() const { return start_; }
  std::uint32_t next(std::uint32_t state, std::uint8_t byte) {
    const std::uint32_t to = next_[state][byte];
    return to != kUnknown ? to : find_next(state, byte);
  }

  // The words that begin like the text: from first up to, without, last.
  struct Words {
    std::uint32_t first;
    std::uint32_t last;
  };
  Words words(std::uint32_t state) const { return {states_[state].first, states_[state].last}; }
  // The word that the text is.
  std::optional<std::uint32_t> word(std::uint32_t state) const;
  // Whether a word of the group begins like the text.
  bool reaches(std::uint32_t state, std::size_t group) const;
  bool is_in(std::uint32_t word, std::size_t group) const { return has_bit(groups_[group].data(), word); }
  bool is_dead(std::uint32_t state, std::size_t automaton) const {
    return states_[state].automata[automaton] == LazyDfa::kDead;
  }
  bool accepts(std::uint32_t state, std::size_t automaton) const {
    return automata_[automaton]->accepts(states_[state].automata[automaton]);
  }
  bool is_final(std::uint32_t state, std::size_t automaton) const {
    return automata_[automaton]->is_final(states_[state].automata[automaton]);
  }
  std::uint32_t min_characters(std::uint32_t state, std::size_t automaton) const {
    return automata_[automaton]->min_characters(states_[state].automata[automaton]);
  }
  std::uint32_t max_characters(std::uint32_t state, std::size_t automaton) const {
    return automata_[automaton]->max_characters(states_[state].automata[automaton]);
  }

  bool can_always_match(std::size_t automaton) const { return automata_[automaton]->can_always_match(); }
  std::uint32_t max_distance(std::size_t automaton) const { return automata_[automaton]->max_distance(); }

  // Equal where the same automata are dead and the same groups are out of reach.
  std::uint32_t signature(std::uint32_t state) const { return states_[state].signature; }
  // Every byte leads back to the state.
  bool is_absorbing(std::uint32_t state) const { return states_[state].is_absorbing; }
  // The groups of bytes (see trie.h) that all lead back to the state, as bits.
  std::uint16_t loops(std::uint32_t state) { return states_[state].loops ? *states_[state].loops : find_loops(state); }
  // Some text leads from here to where all automata and groups accept; true where that takes long to find out.
  bool reaches_all(std::uint32_t state);

  const std::vector<std::string>& texts() const { return words_; }
  std::size_t num_automata() const { return automata_.size(); }
  std::size_t num_groups() const { return groups_.size(); }

 private:
  struct Info {
    std::uint32_t first = 0;  // words
    std::uint32_t last = 0;
    std::uint32_t depth = 0;  // bytes, while words are in reach
    std::vector<std::uint32_t> automata;
    std::uint32_t signature = 0;
    bool is_absorbing = false;
    std::optional<std::uint16_t> loops = std::nullopt;
    std::optional<bool> reaches_all = std::nullopt;
  };

  std::uint32_t find_next(std::uint32_t state, std::uint8_t byte);
  std::uint32_t intern(Info info);
  std::uint16_t find_loops(std::uint32_t state);
  bool accepts_all(std::uint32_t state) const;

  std::vector<std::string> words_;
  std::vector<WordSet> groups_;
  std::vector<std::vector<std::uint32_t>> counts_;  // by group: how many of its words stand before a word
  std::vector<LazyDfa*> automata_;
  std::vector<Info> states_;
  std::vector<std::array<std::uint32_t, 256>> next_;
  std::map<std::vector<std::uint32_t>, std::uint32_t> ids_;
  std::map<std::vector<bool>, std::uint32_t> signatures_;
  std::uint32_t start_ = 0;
};

}  // namespace caudal::grammar
