// Whether the root can still be satisfied.
#include <algorithm>
#include <bit>

#include "common/grammar/schema_machine/schema_machine.h"

namespace caudal::grammar {
namespace {

bool has_no(const Answers& answers) { return std::ranges::find(answers, Answer::kNo) != answers.end(); }

}  // namespace

Answers SchemaMachine::own_answers(const Goal& goal, std::size_t type, const std::uint64_t* failed, Answer others) {
  Answers own(goal.nodes.size(), others);
  const std::uint64_t* settled = goal.starts[type].settled.data();
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (has_bit(failed, i)) {
      own[i] = Answer::kNo;
    } else if (has_bit(settled, i)) {
      own[i] = Answer::kYes;
    }
  }
  return own;
}

Answers SchemaMachine::outputs_of(const Goal& goal, const Answers& nodes) {
  Answers outputs;
  for (const std::uint32_t node : goal.output_nodes) outputs.push_back(nodes[node]);
  return outputs;
}

void SchemaMachine::answer(const Frame& frame, bool is_whole, Answers& own) {
  if (frame.kind != Frame::Kind::kObject || !frame.goal->has_dependent) {
    evaluate(*frame.goal, nullptr, is_whole, own);
    return;
  }
  const auto& texts = goals_.objects(*frame.goal).product->texts();
  const HasKey has_key = [&](const std::string& name) {
    return has_bit(frame.seen, static_cast<std::size_t>(std::ranges::lower_bound(texts, name) - texts.begin()));
  };
  evaluate(*frame.goal, &has_key, is_whole, own);
}

bool SchemaMachine::is_feasible(const Frame& frame, const Answers& outputs) {
  if (!has_no(outputs)) return true;
  if (frame.kind == Frame::Kind::kDocument) return false;
  boost::container::small_vector<std::uint64_t, 8> failed(frame.failed, frame.failed + frame.goal->num_words);
  return !add_failures(frame, outputs, failed.data()) || is_feasible(frame, failed.data());
}

bool SchemaMachine::is_feasible(const Frame& frame, const std::uint64_t* failed) {
  Answers answers = own_answers(*frame.goal, frame.kind == Frame::Kind::kObject ? 6 : 5, failed, Answer::kOpen);
  answer(frame, false, answers);
  const Answers outputs = outputs_of(*frame.goal, answers);
  return is_feasible(*frame.parent, outputs);
}

bool SchemaMachine::can_begin(const Frame& frame) {
  return std::ranges::any_of(frame.child->goal->starts, [&](const Goal::Start& start) {
    return !start.has_no || is_feasible(frame, start.outputs);
  });
}

bool SchemaMachine::add_failures(const Frame& frame, const Answers& outputs, std::uint64_t* failed) {
  bool changed = false;
  for (const Child::Use& use : frame.child->uses) {
    if (outputs[use.output] != Answer::kNo) continue;
    if (use.counts && !must_count(frame, use.node)) continue;
    changed = add_bit(failed, use.node) || changed;
  }
  return changed;
}

bool SchemaMachine::add_failures(const Child& child, std::uint64_t* failed) {
  bool changed = false;
  for (const std::uint32_t node : child.fails) changed = add_bit(failed, node) || changed;
  return changed;
}

std::uint64_t* SchemaMachine::copy_failed(const Frame& frame, Arena& arena) {
  auto* copy = arena.make<std::uint64_t>(frame.goal->num_words);
  std::copy_n(frame.failed, frame.goal->num_words, copy);
  return copy;
}

}  // namespace caudal::grammar
