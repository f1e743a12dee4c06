// Follows an output under the rules of an EBNF: a pushdown automaton that is made deterministic while it runs. A state
// is a set of items, each an instruction and a stack of returns; both are numbered, so that states and steps are found
// once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "common/grammar/automata/limits.h"
#include "common/grammar/automata/machine.h"
#include "common/grammar/automata/regex_program.h"

namespace caudal::grammar {

class RuleMachine final : public Machine {
 public:
  RuleMachine(std::shared_ptr<const RuleProgram> program, std::uint32_t root, const GrammarLimits& limits);

  State start(Arena& arena) override;
  bool step(const State& state, std::uint8_t byte, Arena& arena, State& next) override;
  bool is_complete(const State& state, Arena& arena) override;
  MaskHint hint(const State& state) override;

 private:
  static constexpr std::uint32_t kEmptyStack = 0;
  static constexpr std::uint32_t kDead = 0;

  struct Item {
    std::uint32_t pc;
    std::uint32_t stack;
    auto operator<=>(const Item&) const = default;
  };
  using Items = std::vector<Item>;
  struct Return {
    std::uint32_t pc;
    std::uint32_t below;  // the rest of the stack
    std::uint32_t depth;
  };

  // Adds what is reached without a byte.
  void close(Item item, Items& out);
  std::uint32_t push(std::uint32_t pc, std::uint32_t stack);
  std::uint32_t intern(Items items);

  std::shared_ptr<const RuleProgram> program_;
  GrammarLimits limits_;
  std::vector<Return> stacks_;  // by number; the first is the empty one
  std::unordered_map<std::uint64_t, std::uint32_t> stack_ids_;
  std::vector<Items> states_;  // by number; the first is kDead
  std::map<Items, std::uint32_t> state_ids_;
  std::unordered_map<std::uint64_t, std::uint32_t> steps_;
  std::uint32_t start_ = kDead;
};

}  // namespace caudal::grammar
