// What makes a grammar one that a machine can follow: no rule begins with itself, each ends, each is used.
#include <algorithm>

#include "common/grammar/automata/regex_program.h"
#include "common/grammar/rules/ebnf.h"

namespace caudal::grammar {
namespace {

using Kind = RegexNode::Kind;
using Flags = std::vector<std::uint8_t>;  // by rule

// Whether the node can be read, if the rules with flags can: all of a sequence, one of the alternatives.
bool holds(const RegexNode& node, const Flags& rules, bool of_characters) {
  const auto child_holds = [&](const RegexNode& child) { return holds(child, rules, of_characters); };
  switch (node.kind) {
    case Kind::kClass:
      return of_characters && !node.characters.ranges().empty();
    case Kind::kRule:
      return rules[node.min] != 0;
    case Kind::kAlternatives:
      return std::ranges::any_of(node.children, child_holds);
    case Kind::kRepeat:
      return node.min == 0 || child_holds(node.children.front());
    default:
      return std::ranges::all_of(node.children, child_holds);
  }
}

void add_all(const RegexNode& node, std::vector<std::uint32_t>& named) {
  if (node.kind == Kind::kRule) named.push_back(node.min);
  for (const RegexNode& child : node.children) add_all(child, named);
}

// The least fixed point: rules that can be empty, or (with `of_characters`) that can end at all. A rule is looked at
// again when one that it names was found.
Flags fixed_point(const Rules& rules, bool of_characters) {
  std::vector<std::vector<std::uint32_t>> users(rules.rules.size());
  std::vector<std::uint32_t> todo;
  for (std::uint32_t id = 0; id < rules.rules.size(); ++id) {
    std::vector<std::uint32_t> named;
    add_all(rules.rules[id].body, named);
    for (const std::uint32_t other : named) users[other].push_back(id);
    todo.push_back(id);
  }
  Flags flags(rules.rules.size(), 0);
  while (!todo.empty()) {
    const std::uint32_t id = todo.back();
    todo.pop_back();
    if (flags[id] != 0 || !holds(rules.rules[id].body, flags, of_characters)) continue;
    flags[id] = 1;
    todo.insert(todo.end(), users[id].begin(), users[id].end());
  }
  return flags;
}

// The rules that the node may begin with.
void add_first(const RegexNode& node, const Flags& can_be_empty, std::vector<std::uint32_t>& first) {
  if (node.kind == Kind::kRule) first.push_back(node.min);
  for (const RegexNode& child : node.children) {
    add_first(child, can_be_empty, first);
    if (node.kind == Kind::kSequence && !holds(child, can_be_empty, false)) return;
  }
}

// A rule on a cycle of rules that begin with each other, or nothing.
std::optional<std::size_t> find_left_recursion(const std::vector<std::vector<std::uint32_t>>& first) {
  enum : std::uint8_t { kNew, kOnTheWay, kDone };
  Flags state(first.size(), kNew);
  for (std::uint32_t root = 0; root < first.size(); ++root) {
    std::vector<std::uint32_t> path{root};
    while (!path.empty()) {
      const std::uint32_t id = path.back();
      if (state[id] != kNew) {
        state[id] = kDone;
        path.pop_back();
        continue;
      }
      state[id] = kOnTheWay;
      for (const std::uint32_t next : first[id]) {
        if (state[next] == kOnTheWay) return next;
        if (state[next] == kNew) path.push_back(next);
      }
    }
  }
  return std::nullopt;
}

}  // namespace

Result<void> check_rules(const Rules& rules, std::string_view text) {
  const auto refuse = [&](std::size_t id, std::string_view why) { return error_at(text, rules.rules[id].place, why); };
  const Flags can_end = fixed_point(rules, true);
  const Flags can_be_empty = fixed_point(rules, false);
  std::vector<std::vector<std::uint32_t>> first(rules.rules.size());
  Flags is_reached(rules.rules.size(), 0);
  std::vector<std::uint32_t> todo{rules.root};
  while (!todo.empty()) {
    const std::uint32_t id = todo.back();
    todo.pop_back();
    if (is_reached[id]++ == 0) add_all(rules.rules[id].body, todo);
    is_reached[id] = 1;
  }
  for (std::size_t id = 0; id < rules.rules.size(); ++id) {
    if (can_end[id] == 0) return refuse(id, "this rule never ends");
    if (is_reached[id] == 0) return refuse(id, "this rule is not used");
    add_first(rules.rules[id].body, can_be_empty, first[id]);
  }
  if (const auto id = find_left_recursion(first)) return refuse(*id, "this rule begins with itself (left recursion)");
  return {};
}

}  // namespace caudal::grammar
