// Items of arrays.
#include <algorithm>

#include "common/grammar/schema_machine/schema_machine.h"

namespace caudal::grammar {

// The frame that reads another item; null where there may be none.
const Frame* SchemaMachine::next_item(const Frame& frame, Arena& arena) {
  const ArrayPlan& plan = goals_.arrays(*frame.goal);
  auto* item = arena.make<Frame>();
  *item = frame;
  item->child = plan.children[std::min<std::size_t>(frame.count, plan.children.size() - 1)].get();
  std::uint64_t* failed = copy_failed(frame, arena);
  item->failed = failed;
  bool changed = add_failures(*item->child, failed);
  for (const std::uint32_t node : plan.nodes) {
    if (frame.count < frame.goal->schemas[node]->max_items) continue;
    changed = add_bit(failed, node) || changed;
  }
  return changed && !is_feasible(*item, failed) ? nullptr : item;
}

// Whether a `contains` of the node fails if the item that is being read does not match.
bool SchemaMachine::must_count(const Frame& frame, std::uint32_t node) {
  const ArrayPlan& plan = goals_.arrays(*frame.goal);
  const auto index = std::ranges::find(plan.containing_nodes, node) - plan.containing_nodes.begin();
  const Schema& schema = *frame.goal->schemas[node];
  const std::uint32_t counted = frame.contained[index];
  return counted < schema.min_contains && schema.max_items != kNoBound &&
         schema.min_contains - counted > schema.max_items - std::min(schema.max_items, frame.count + 1);
}

bool SchemaMachine::end_item(const Frame& frame, const Answers& outputs, std::uint64_t hash, Arena& arena,
                             State& next) {
  const ArrayPlan& plan = goals_.arrays(*frame.goal);
  auto* after = arena.make<Frame>();
  *after = frame;
  std::uint64_t* failed = copy_failed(frame, arena);
  after->failed = failed;
  bool changed = add_failures(frame, outputs, failed);
  const auto fail = [&](std::uint32_t node) {
    add_bit(failed, node);
    changed = true;
  };
  if (!plan.containing_nodes.empty()) {
    auto* contained = arena.make<std::uint32_t>(plan.containing_nodes.size());
    std::copy_n(frame.contained, plan.containing_nodes.size(), contained);
    after->contained = contained;
    for (const Child::Use& use : frame.child->uses) {
      if (!use.counts || outputs[use.output] != Answer::kYes) continue;
      const auto index = std::ranges::find(plan.containing_nodes, use.node) - plan.containing_nodes.begin();
      if (++contained[index] > frame.goal->schemas[use.node]->max_contains) fail(use.node);
    }
  }
  if (!plan.unique_nodes.empty()) {
    for (const HashEntry* item = frame.items; item != nullptr; item = item->before) {
      if (item->hash != hash) continue;
      for (const std::uint32_t node : plan.unique_nodes) fail(node);
      break;
    }
    auto* entry = arena.make<HashEntry>();
    *entry = {frame.items, hash};
    after->items = entry;
  }
  ++after->count;
  after->hash = mix(frame.hash, hash);
  if (changed && !is_feasible(*after, failed)) return false;
  next = at(after, Phase::kAfterValue);
  return true;
}

bool SchemaMachine::close_array(const Frame& frame, Arena& arena, State& next) {
  const ArrayPlan& plan = goals_.arrays(*frame.goal);
  Answers answers = own_answers(*frame.goal, 5, frame.failed, Answer::kYes);
  for (const std::uint32_t node : plan.nodes) {
    if (frame.count < frame.goal->schemas[node]->min_items) answers[node] = Answer::kNo;
  }
  for (std::size_t i = 0; i < plan.containing_nodes.size(); ++i) {
    const std::uint32_t node = plan.containing_nodes[i];
    if (frame.contained[i] < frame.goal->schemas[node]->min_contains) answers[node] = Answer::kNo;
  }
  answer(frame, true, answers);
  return end_value(*frame.parent, outputs_of(*frame.goal, answers), mix(frame.hash, frame.count), arena, next);
}

}  // namespace caudal::grammar
