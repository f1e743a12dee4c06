// A regular expression's deterministic automaton, whose states are found while it runs. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "common/grammar/automata/regex_program.h"

namespace caudal::grammar {

class LazyDfa {
 public:
  static constexpr std::uint32_t kDead = 0;  // no text leads from here to a match

  // `program` outlives it. Past `max_states` every further state is dead.
  LazyDfa(const RegexProgram& program, std::size_t max_states);

  std::uint32_t start() const { return start_; }
  std::uint32_t next(std::uint32_t state, std::uint8_t byte) {
    const std::uint32_t to = next_[state * num_classes_ + class_[byte]];
    return to != kUnknown ? to : find_next(state, byte);
  }
  bool accepts(std::uint32_t state) const { return states_[state].accepts; }
  // No text is dead.
  bool can_always_match() const { return program_.can_always_match; }
  std::uint32_t max_distance() const { return program_.max_distance; }
  // Whatever follows, it matches.
  bool is_final(std::uint32_t state) const { return states_[state].is_final; }
  // Characters to come until a match: at least and at most.
  std::uint32_t min_characters(std::uint32_t state) const { return states_[state].min; }
  std::uint32_t max_characters(std::uint32_t state) const { return states_[state].max; }
  // Bytes of one class are the same to every state.
  std::uint32_t num_classes() const { return num_classes_; }
  std::uint32_t class_of(std::uint8_t byte) const { return class_[byte]; }
  // A byte of each class.
  const std::vector<std::uint8_t>& representatives() const { return representatives_; }

 private:
  static constexpr std::uint32_t kUnknown = ~0U;

  // One way to match: where it is, what look-ahead still has to match, and what must not.
  struct Thread {
    std::uint32_t pc;
    std::vector<std::uint32_t> ahead;
    std::vector<std::uint32_t> not_ahead;
    auto operator<=>(const Thread&) const = default;
  };
  using Threads = std::vector<Thread>;
  struct StateInfo {
    Threads threads;
    bool accepts = false;
    bool is_final = false;
    std::uint32_t min = 0;
    std::uint32_t max = 0;
  };

  void find_classes();
  std::uint32_t find_next(std::uint32_t state, std::uint8_t byte);
  std::uint32_t intern(Threads threads);
  bool can_reach_match(std::uint32_t state);
  bool accepts_at_end(const Threads& threads);
  void close(Thread thread, bool at_start, bool at_end, Threads& out);
  std::vector<std::uint32_t> closed(std::uint32_t pc, bool at_start, bool at_end);
  std::vector<std::vector<std::uint32_t>> step_ahead(const std::vector<std::uint32_t>& ahead, std::uint8_t byte);
  bool step_not_ahead(const std::vector<std::uint32_t>& from, std::uint8_t byte, std::vector<std::uint32_t>& to);
  void step_plain(const Threads& threads, std::uint8_t byte, Threads& out);
  void step_thread(const Thread& thread, std::uint8_t byte, Threads& out);
  void close_plain(std::uint32_t pc, Threads& out);

  const RegexProgram& program_;
  std::size_t max_states_;
  std::array<std::uint8_t, 256> class_{};
  std::uint32_t num_classes_ = 1;
  std::vector<std::uint8_t> representatives_;
  std::vector<StateInfo> states_;
  std::vector<std::uint32_t> next_;  // [states, classes]
  std::map<Threads, std::uint32_t> ids_;
  std::vector<std::uint32_t> visited_;  // by instruction: the last closure that came by
  std::uint32_t closure_ = 0;
  std::uint32_t start_ = kDead;
};

}  // namespace caudal::grammar
