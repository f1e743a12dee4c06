#include "common/grammar/tags/tag_machine.h"

#include <algorithm>

namespace caudal::grammar {
namespace {

constexpr std::size_t kMaxWays = 256;

// Keys of masks of different parts must differ.
std::uint64_t key_of(std::uint64_t part, std::uint64_t key) {
  std::uint64_t mixed = (key ^ part * 0x9E3779B97F4A7C15U) * 0xBF58476D1CE4E5B9U;
  mixed ^= mixed >> 29;
  return mixed * 0x94D049BB133111EBU + part;
}

State without_part(State state) {
  state.part = 0;
  return state;
}

}  // namespace

TagMachine::TagMachine(std::shared_ptr<const TagProgram> program)
    : program_(std::move(program)), machines_(program_->grammars.size()) {}

Machine& TagMachine::machine(const TagInstruction& instruction) {
  std::unique_ptr<Machine>& made = machines_[instruction.index];
  if (!made) made = program_->grammars[instruction.index]();
  return *made;
}

Machine* TagMachine::only_machine(const State& state) {
  if (state.part == 0) return nullptr;
  const TagInstruction& instruction = program_->code[state.part - 1];
  return instruction.op == Op::kGrammar ? &machine(instruction) : nullptr;
}

std::span<const TagMachine::Way> TagMachine::ways_of(const State& state, Way& only) {
  if (state.part != 0) {
    only = {state.part - 1, without_part(state)};
    return {&only, 1};
  }
  const auto* ways = static_cast<const Ways*>(state.frame);
  return {reinterpret_cast<const Way*>(ways + 1), ways->count};
}

State TagMachine::pack(const WayList& ways, Arena& arena) {
  State state;
  if (ways.size() == 1) {
    state = ways.front().state;
    state.part = ways.front().pc + 1;
    return state;
  }
  auto* bytes = arena.make<std::byte>(sizeof(Ways) + ways.size() * sizeof(Way));
  auto* all = reinterpret_cast<Ways*>(bytes);
  all->count = ways.size();
  std::ranges::copy(ways, reinterpret_cast<Way*>(all + 1));
  state.frame = all;
  return state;
}

// Adds the ways that begin at `pc`, none twice.
void TagMachine::enter(std::uint32_t pc, Arena& arena, WayList& out) {
  std::vector<std::uint32_t> todo{pc};
  std::vector<std::uint32_t> seen;
  while (!todo.empty()) {
    const std::uint32_t now = todo.back();
    todo.pop_back();
    if (now == kNowhere || std::ranges::find(seen, now) != seen.end()) continue;
    seen.push_back(now);
    const TagInstruction& instruction = program_->code[now];
    State state;
    switch (instruction.op) {
      case Op::kSplit:
        todo.push_back(instruction.other);
        todo.push_back(instruction.next);
        continue;
      case Op::kText:
        if (!ends_with(instruction.next)) todo.push_back(instruction.next);
        break;
      case Op::kGrammar:
        state = machine(instruction).start(arena);
        if (!ends_with(instruction.next) && machine(instruction).is_complete(state, arena))
          todo.push_back(instruction.next);
        break;
      case Op::kByte:
      case Op::kMatch:
        break;
    }
    const auto is_same = [&](const Way& way) { return way.pc == now && way.state.product == state.product; };
    if (instruction.op == Op::kGrammar || std::ranges::none_of(out, is_same)) out.push_back({now, state});
  }
}

void TagMachine::step_way(const Way& way, std::uint8_t byte, Arena& arena, WayList& out) {
  const TagInstruction& instruction = at(way);
  if (instruction.op == Op::kByte) {
    if (instruction.byte == byte) enter(instruction.next, arena, out);
  } else if (instruction.op == Op::kText) {
    const FreeText::Step step = program_->texts[instruction.index].step(way.state.product, byte);
    if (!step.is_allowed || step.word == TagProgram::kForbidden) return;
    if (step.word != FreeText::kNone) return enter(step.word, arena, out);
    Way on = way;
    on.state.product = step.state;
    out.push_back(on);
    if (!ends_with(instruction.next)) enter(instruction.next, arena, out);
  } else if (instruction.op == Op::kGrammar) {
    Way on{way.pc, {}};
    if (!machine(instruction).step(way.state, byte, arena, on.state)) return;
    out.push_back(on);
    if (!ends_with(instruction.next) && machine(instruction).is_complete(on.state, arena))
      enter(instruction.next, arena, out);
  }
}

State TagMachine::start(Arena& arena) {
  WayList ways;
  enter(program_->start, arena, ways);
  return pack(ways, arena);
}

bool TagMachine::step(const State& state, std::uint8_t byte, Arena& arena, State& next) {
  Way only;
  WayList ways;
  for (const Way& way : ways_of(state, only)) step_way(way, byte, arena, ways);
  if (ways.empty() || ways.size() > kMaxWays) return false;
  next = pack(ways, arena);
  return true;
}

bool TagMachine::is_complete(const State& state, Arena& arena) {
  Way only;
  return std::ranges::any_of(ways_of(state, only), [&](const Way& way) {
    const TagInstruction& instruction = at(way);
    if (instruction.op == Op::kMatch) return true;
    if (!ends_with(instruction.next)) return false;
    return instruction.op == Op::kText ||
           (instruction.op == Op::kGrammar && machine(instruction).is_complete(way.state, arena));
  });
}

MaskHint TagMachine::hint(const State& state) {
  if (Machine* const inner = only_machine(state)) {
    MaskHint hint = inner->hint(without_part(state));
    hint.key = key_of(state.part, hint.key);
    return hint;
  }
  Way only;
  std::vector<std::uint64_t> set;
  for (const Way& way : ways_of(state, only)) {
    if (at(way).op == Op::kGrammar) return {};
    set.push_back(std::uint64_t{way.pc} << 32 | way.state.product);
  }
  std::ranges::sort(set);
  const std::uint64_t id = way_ids_.try_emplace(std::move(set), way_ids_.size()).first->second;
  return {.kind = MaskHint::Kind::kWhole, .key = key_of(0, id)};
}

bool TagMachine::is_optional(const State& state, std::uint8_t byte) {
  Machine* const inner = only_machine(state);
  return inner != nullptr && inner->is_optional(without_part(state), byte);
}

void TagMachine::add_inside(State& state, std::uint8_t byte) {
  Machine* const inner = only_machine(state);
  if (inner == nullptr) return;
  State own = without_part(state);
  inner->add_inside(own, byte);
  own.part = state.part;
  state = own;
}

void TagMachine::find_inside(const State& state, const Trie& trie, std::span<std::uint64_t> mask) {
  if (Machine* const inner = only_machine(state)) inner->find_inside(without_part(state), trie, mask);
}

bool TagMachine::allows_inside(const State& state, std::string_view alphabet) {
  Machine* const inner = only_machine(state);
  return inner != nullptr && inner->allows_inside(without_part(state), alphabet);
}

std::optional<std::uint64_t> TagMachine::end_class(const State& state) {
  Machine* const inner = only_machine(state);
  return inner == nullptr ? std::nullopt : inner->end_class(without_part(state));
}

}  // namespace caudal::grammar
