// Follows an output under a TagProgram. All ways to read it are followed at once; most of the time there is one, and
// then the state is that of its part, so that strings of JSON are as quick as without tags.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <vector>

#include "common/grammar/tags/tag_program.h"

namespace caudal::grammar {

class TagMachine final : public Machine {
 public:
  explicit TagMachine(std::shared_ptr<const TagProgram> program);

  State start(Arena& arena) override;
  bool step(const State& state, std::uint8_t byte, Arena& arena, State& next) override;
  bool is_complete(const State& state, Arena& arena) override;
  MaskHint hint(const State& state) override;
  bool is_optional(const State& state, std::uint8_t byte) override;
  void add_inside(State& state, std::uint8_t byte) override;
  void find_inside(const State& state, const Trie& trie, std::span<std::uint64_t> mask) override;
  bool allows_inside(const State& state, std::string_view alphabet) override;
  std::optional<std::uint64_t> end_class(const State& state) override;

 private:
  using Op = TagInstruction::Op;
  // One way to read the output so far: before an instruction, or within its text or grammar.
  struct Way {
    std::uint32_t pc;
    State state;  // of the grammar; of a text in `product`
  };
  // In an arena, followed by the ways.
  struct Ways {
    std::uint64_t count;
  };
  using WayList = std::vector<Way>;

  static std::span<const Way> ways_of(const State& state, Way& only);
  static State pack(const WayList& ways, Arena& arena);
  const TagInstruction& at(const Way& way) const { return program_->code[way.pc]; }
  Machine& machine(const TagInstruction& instruction);
  // The machine of a state that is within one grammar and nothing else; null for others.
  Machine* only_machine(const State& state);
  bool ends_with(std::uint32_t pc) const { return pc != kNowhere && program_->code[pc].op == Op::kMatch; }

  void enter(std::uint32_t pc, Arena& arena, WayList& out);
  void step_way(const Way& way, std::uint8_t byte, Arena& arena, WayList& out);

  std::shared_ptr<const TagProgram> program_;
  std::vector<std::unique_ptr<Machine>> machines_;               // by grammar, made when first needed
  std::map<std::vector<std::uint64_t>, std::uint64_t> way_ids_;  // of ways without grammars: a number for each set
};

}  // namespace caudal::grammar
