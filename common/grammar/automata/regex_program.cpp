// Instructions are written back to front: each is given the one that follows it.
#include "common/grammar/automata/regex_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "common/grammar/automata/json_string.h"
#include "common/grammar/automata/regex_syntax.h"

namespace caudal::grammar {
namespace {

using Op = Instruction::Op;

struct EmitFault {
  std::string message;
};

class Emitter {
 public:
  Emitter(std::vector<Instruction>& code, std::size_t max_instructions)
      : code_(code), max_instructions_(max_instructions) {}

  bool has_look_ahead() const { return has_look_ahead_; }

  std::uint32_t add(Instruction instruction) {
    if (code_.size() >= max_instructions_)
      throw EmitFault{fmt::format("it is too large: it takes more than {} instructions", max_instructions_)};
    code_.push_back(instruction);
    return static_cast<std::uint32_t>(code_.size() - 1);
  }
  std::uint32_t split(std::uint32_t next, std::uint32_t other) {
    return add({.op = Op::kSplit, .next = next, .other = other});
  }

  // With `at_start`, '^' can hold.
  std::uint32_t emit(const RegexNode& node, std::uint32_t next, bool at_start) {
    using Kind = RegexNode::Kind;
    switch (node.kind) {
      case Kind::kClass:
        return emit_class(node.characters, next);
      case Kind::kSequence:
        for (auto child = node.children.rbegin(); child != node.children.rend(); ++child)
          next = emit(*child, next, at_start);
        return next;
      case Kind::kAlternatives:
        return emit_alternatives(node, next, at_start);
      case Kind::kRepeat:
        return emit_repeat(node, next, at_start);
      case Kind::kStart:
        return at_start ? add({.op = Op::kStart, .next = next}) : add({.op = Op::kFail});
      case Kind::kEnd:
        return add({.op = Op::kEnd, .next = next});
      case Kind::kRule:
        return add({.op = Op::kCall, .next = next, .other = node.min});
      case Kind::kAhead:
      case Kind::kNotAhead: {
        if (looks_ahead_) throw EmitFault{"look-ahead within look-ahead is not supported"};
        has_look_ahead_ = looks_ahead_ = true;
        const std::uint32_t match = add({.op = Op::kMatchAll});
        const std::uint32_t inner = emit(node.children.front(), match, at_start);
        looks_ahead_ = false;
        return add({.op = node.kind == Kind::kAhead ? Op::kAhead : Op::kNotAhead, .next = next, .other = inner});
      }
    }
    return next;
  }

  std::uint32_t emit_class(const CharacterClass& characters, std::uint32_t next) {
    std::uint32_t start = kNoBound;
    // Sequences that end alike share their last bytes.
    std::map<std::tuple<std::uint8_t, std::uint8_t, std::uint32_t>, std::uint32_t> tails;
    for (const Utf8Sequence& sequence : utf8_sequences(characters)) {
      std::uint32_t at = next;
      for (int i = sequence.size - 1; i >= 0; --i) {
        const ByteRange range = sequence.bytes[static_cast<std::size_t>(i)];
        const auto [found, is_new] = tails.try_emplace({range.first, range.last, at}, 0);
        if (is_new) found->second = add({.op = Op::kByte, .first = range.first, .last = range.last, .next = at});
        at = found->second;
      }
      start = start == kNoBound ? at : split(at, start);
    }
    return start == kNoBound ? add({.op = Op::kFail}) : start;
  }

 private:
  std::uint32_t emit_alternatives(const RegexNode& node, std::uint32_t next, bool at_start) {
    std::uint32_t start = emit(node.children.back(), next, at_start);
    for (std::size_t i = node.children.size() - 1; i-- > 0;)
      start = split(emit(node.children[i], next, at_start), start);
    return start;
  }

  std::uint32_t emit_repeat(const RegexNode& node, std::uint32_t next, bool at_start) {
    const RegexNode& child = node.children.front();
    std::uint32_t at = next;
    if (node.max == kNoBound) {
      at = split(0, next);
      const std::uint32_t body = emit(child, at, at_start && node.min == 0);
      code_[at].next = body;
    } else {
      for (std::uint32_t i = node.min; i < node.max; ++i) at = split(emit(child, at, at_start && node.min == 0), next);
    }
    for (std::uint32_t i = 0; i < node.min; ++i) at = emit(child, at, at_start);
    return at;
  }

  std::vector<Instruction>& code_;
  std::size_t max_instructions_;
  bool has_look_ahead_ = false;
  bool looks_ahead_ = false;  // within it
};

// Instructions by what comes after them.
std::vector<std::vector<std::uint32_t>> predecessors_of(const std::vector<Instruction>& code) {
  std::vector<std::vector<std::uint32_t>> result(code.size());
  for (std::uint32_t pc = 0; pc < code.size(); ++pc) {
    const Instruction& i = code[pc];
    if (i.op == Op::kMatch || i.op == Op::kMatchAll || i.op == Op::kFail || i.op == Op::kEnd) continue;
    result[i.next].push_back(pc);
    if (i.op == Op::kSplit) result[i.other].push_back(pc);
  }
  return result;
}

// Which instructions lead to a match without another byte, at the end of the text.
std::vector<std::uint8_t> find_ends(const std::vector<Instruction>& code) {
  std::vector<std::vector<std::uint32_t>> before(code.size());
  std::vector<std::uint32_t> todo;
  for (std::uint32_t pc = 0; pc < code.size(); ++pc) {
    const Instruction& i = code[pc];
    if (i.op == Op::kMatch || i.op == Op::kMatchAll) todo.push_back(pc);
    if (i.op == Op::kEnd || i.op == Op::kSplit) before[i.next].push_back(pc);
    if (i.op == Op::kSplit) before[i.other].push_back(pc);
  }
  std::vector<std::uint8_t> ends(code.size(), 0);
  while (!todo.empty()) {
    const std::uint32_t pc = todo.back();
    todo.pop_back();
    if (ends[pc] != 0) continue;
    ends[pc] = 1;
    todo.insert(todo.end(), before[pc].begin(), before[pc].end());
  }
  return ends;
}

// The longest way to a match, by depth-first search; a cycle with a byte on it has no bound.
class Longest {
 public:
  Longest(const RegexProgram& program, std::vector<std::uint32_t>& longest)
      : program_(program), longest_(longest), state_(program.code.size(), 0) {}

  void visit(std::uint32_t root) {
    std::vector<std::uint32_t> path{root};
    while (!path.empty()) {
      const std::uint32_t pc = path.back();
      if (state_[pc] == 2) {
        path.pop_back();
        continue;
      }
      const bool first_time = state_[pc] == 0;
      state_[pc] = 1;
      bool waits = false;
      if (first_time) {
        for (const std::uint32_t next : successors(pc)) {
          if (state_[next] == 0) path.push_back(next), waits = true;
        }
      }
      if (waits) continue;
      finish(pc);
      path.pop_back();
    }
  }

 private:
  std::vector<std::uint32_t> successors(std::uint32_t pc) const {
    const Instruction& i = program_.code[pc];
    std::vector<std::uint32_t> result;
    if (i.op == Op::kMatch || i.op == Op::kMatchAll || i.op == Op::kFail || i.op == Op::kEnd) return result;
    if (program_.can_match[i.next]) result.push_back(i.next);
    if (i.op == Op::kSplit && program_.can_match[i.other]) result.push_back(i.other);
    return result;
  }
  void finish(std::uint32_t pc) {
    const Instruction& i = program_.code[pc];
    std::uint32_t longest = i.op == Op::kMatchAll ? kNoBound : 0;
    for (const std::uint32_t next : successors(pc)) {
      if (state_[next] == 1 && next != pc) longest = kNoBound;  // a cycle
      if (state_[next] == 2) longest = std::max(longest, longest_[next]);
    }
    const bool counts = i.op == Op::kByte && begins_character(i.first) && longest != kNoBound;
    longest_[pc] = longest + (counts ? 1 : 0);
    state_[pc] = 2;
  }

  const RegexProgram& program_;
  std::vector<std::uint32_t>& longest_;
  std::vector<std::uint8_t> state_;  // 1: on the way, 2: known
};

}  // namespace

void RegexProgram::analyze() {
  can_match.assign(code.size(), 0);
  min_characters.assign(code.size(), kNoBound);
  max_characters.assign(code.size(), 0);
  ends = find_ends(code);
  std::vector<std::vector<std::uint32_t>> by_distance(1);
  for (std::uint32_t pc = 0; pc < code.size(); ++pc) {
    const Op op = code[pc].op;
    if (op == Op::kMatch || op == Op::kMatchAll || (op == Op::kEnd && ends[pc] != 0)) by_distance[0].push_back(pc);
  }
  const auto predecessors = predecessors_of(code);
  for (std::uint32_t distance = 0; distance < by_distance.size(); ++distance) {
    for (std::size_t n = 0; n < by_distance[distance].size(); ++n) {
      const std::uint32_t pc = by_distance[distance][n];
      if (can_match[pc] != 0) continue;
      can_match[pc] = 1;
      min_characters[pc] = distance;
      for (const std::uint32_t from : predecessors[pc]) {
        if (can_match[from] != 0) continue;
        const bool counts = code[from].op == Op::kByte && begins_character(code[from].first);
        if (counts && by_distance.size() == distance + 1) by_distance.emplace_back();
        by_distance[distance + (counts ? 1 : 0)].push_back(from);
      }
    }
  }
  max_distance = static_cast<std::uint32_t>(by_distance.size() - 1);
  Longest longest(*this, max_characters);
  for (std::uint32_t pc = 0; pc < code.size(); ++pc) {
    if (can_match[pc] != 0) longest.visit(pc);
  }
}

Result<RegexProgram> compile_regex(std::string_view pattern, RegexExtent extent, std::size_t max_instructions) {
  Result<RegexNode> tree = parse_regex(pattern);
  if (!tree) return tree.error();
  RegexProgram program;
  Emitter emitter(program.code, max_instructions);
  try {
    if (extent == RegexExtent::kWhole) {
      program.start = emitter.emit(tree.value(), emitter.add({.op = Op::kMatch}), true);
    } else {
      const std::uint32_t match = emitter.add({.op = Op::kMatchAll});
      const std::uint32_t later = emitter.split(0, 0);
      const std::uint32_t skip = emitter.add({.op = Op::kByte, .first = 0, .last = 0xFF, .next = later});
      program.code[later].next = emitter.emit(tree.value(), match, false);
      program.code[later].other = skip;
      program.start = emitter.split(emitter.emit(tree.value(), match, true), skip);
      program.looks_ahead = emitter.has_look_ahead();
      program.analyze();
      program.can_always_match = program.can_match[later] != 0 && !program.looks_ahead;
      return program;
    }
  } catch (const EmitFault& fault) {
    return Error{fault.message, ""};
  }
  program.looks_ahead = emitter.has_look_ahead();
  program.analyze();
  return program;
}

Result<RuleProgram> compile_rules(const std::vector<RegexNode>& rules, std::size_t max_instructions) {
  RuleProgram program;
  Emitter emitter(program.code, max_instructions);
  try {
    for (const RegexNode& rule : rules)
      program.starts.push_back(emitter.emit(rule, emitter.add({.op = Op::kMatch}), false));
  } catch (const EmitFault& fault) {
    return Error{fault.message, ""};
  }
  for (Instruction& instruction : program.code) {
    if (instruction.op == Op::kCall) instruction.other = program.starts[instruction.other];
  }
  return program;
}

RegexProgram compile_words(const std::vector<std::string>& words) {
  RegexProgram program;
  Emitter emitter(program.code, std::numeric_limits<std::uint32_t>::max());
  const std::uint32_t match = emitter.add({.op = Op::kMatch});
  std::uint32_t start = kNoBound;
  for (const std::string& word : words) {
    std::uint32_t at = match;
    for (auto c = word.rbegin(); c != word.rend(); ++c) {
      const auto byte = static_cast<std::uint8_t>(*c);
      at = emitter.add({.op = Op::kByte, .first = byte, .last = byte, .next = at});
    }
    start = start == kNoBound ? at : emitter.split(at, start);
  }
  program.start = start == kNoBound ? emitter.add({.op = Op::kFail}) : start;
  program.analyze();
  return program;
}

}  // namespace caudal::grammar
