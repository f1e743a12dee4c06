// A regular expression that the whole output matches, or a list of words that it is one of.
#pragma once

#include <memory>

#include "common/grammar/automata/lazy_dfa.h"
#include "common/grammar/automata/machine.h"

namespace caudal::grammar {

class RegexMachine final : public Machine {
 public:
  RegexMachine(std::shared_ptr<const RegexProgram> program, std::size_t max_states)
      : program_(std::move(program)), automaton_(*program_, max_states) {}

  State start(Arena&) override { return at(automaton_.start()); }
  bool step(const State& state, std::uint8_t byte, Arena&, State& next) override {
    next = at(automaton_.next(state.product, byte));
    return next.product != LazyDfa::kDead;
  }
  bool is_complete(const State& state, Arena&) override { return automaton_.accepts(state.product); }
  MaskHint hint(const State& state) override { return {.kind = MaskHint::Kind::kWhole, .key = state.product}; }

 private:
  static State at(std::uint32_t product) {
    State state;
    state.product = product;
    return state;
  }

  std::shared_ptr<const RegexProgram> program_;
  LazyDfa automaton_;
};

}  // namespace caudal::grammar
