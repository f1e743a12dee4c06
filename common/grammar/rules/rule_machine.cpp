// See rule_machine.h.
#include "common/grammar/rules/rule_machine.h"

#include <algorithm>
#include <set>

namespace caudal::grammar {
namespace {

using Op = Instruction::Op;

constexpr std::size_t kMaxClosed = 100'000;  // items on the way from one byte to the next
constexpr std::size_t kMaxItems = 4096;      // of one state
constexpr std::uint32_t kMaxStack = 10'000;  // returns

State numbered(std::uint32_t id) {
  State state;
  state.product = id;
  return state;
}

}  // namespace

RuleMachine::RuleMachine(std::shared_ptr<const RuleProgram> program, std::uint32_t root, const GrammarLimits& limits)
    : program_(std::move(program)), limits_(limits), stacks_(1), states_(1) {
  Items items;
  close({program_->starts[root], kEmptyStack}, items);
  start_ = intern(std::move(items));
}

State RuleMachine::start(Arena&) { return numbered(start_); }

std::uint32_t RuleMachine::push(std::uint32_t pc, std::uint32_t stack) {
  if (program_->code[pc].op == Op::kMatch) return stack;  // the call is the rule's last: it returns for the rule
  const std::uint64_t key = std::uint64_t{pc} << 32 | stack;
  const auto [known, is_new] = stack_ids_.try_emplace(key, static_cast<std::uint32_t>(stacks_.size()));
  if (is_new) stacks_.push_back({pc, stack, stacks_[stack].depth + 1});
  return known->second;
}

// No rule begins with itself, so the stacks that are reached without a byte are bounded.
void RuleMachine::close(Item item, Items& out) {
  std::set<Item> seen;
  Items todo{item};
  while (!todo.empty()) {
    const Item at = todo.back();
    todo.pop_back();
    if (!seen.insert(at).second || seen.size() > kMaxClosed) continue;
    const Instruction& i = program_->code[at.pc];
    switch (i.op) {
      case Op::kSplit:
        todo.push_back({i.next, at.stack});
        todo.push_back({i.other, at.stack});
        break;
      case Op::kCall:
        if (stacks_[at.stack].depth < kMaxStack) todo.push_back({i.other, push(i.next, at.stack)});
        break;
      case Op::kMatch:
        if (at.stack == kEmptyStack) {
          out.push_back(at);
        } else {
          todo.push_back({stacks_[at.stack].pc, stacks_[at.stack].below});
        }
        break;
      case Op::kByte:
        out.push_back(at);
        break;
      default:
        break;
    }
  }
}

std::uint32_t RuleMachine::intern(Items items) {
  std::ranges::sort(items);
  items.erase(std::ranges::unique(items).begin(), items.end());
  if (items.empty() || items.size() > kMaxItems || states_.size() > limits_.max_states) return kDead;
  const auto [known, is_new] = state_ids_.try_emplace(items, static_cast<std::uint32_t>(states_.size()));
  if (is_new) states_.push_back(std::move(items));
  return known->second;
}

bool RuleMachine::step(const State& state, std::uint8_t byte, Arena&, State& next) {
  const std::uint64_t key = std::uint64_t{state.product} << 8 | byte;
  if (const auto known = steps_.find(key); known != steps_.end()) {
    next = numbered(known->second);
    return known->second != kDead;
  }
  Items items;
  for (const Item& item : Items(states_[state.product])) {
    const Instruction& i = program_->code[item.pc];
    if (i.op == Op::kByte && i.first <= byte && byte <= i.last) close({i.next, item.stack}, items);
  }
  const std::uint32_t to = intern(std::move(items));
  steps_[key] = to;
  next = numbered(to);
  return to != kDead;
}

bool RuleMachine::is_complete(const State& state, Arena&) {
  return std::ranges::any_of(states_[state.product],
                             [&](const Item& item) { return program_->code[item.pc].op == Op::kMatch; });
}

MaskHint RuleMachine::hint(const State& state) { return {.kind = MaskHint::Kind::kWhole, .key = state.product}; }

}  // namespace caudal::grammar
