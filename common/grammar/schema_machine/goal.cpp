// See goal.h.
#include "common/grammar/schema_machine/goal.h"

#include <algorithm>

namespace caudal::grammar {
namespace {

Answer both(Answer a, Answer b) {
  if (a == Answer::kNo || b == Answer::kNo) return Answer::kNo;
  return a == Answer::kYes && b == Answer::kYes ? Answer::kYes : Answer::kOpen;
}

Answer opposite(Answer a) {
  if (a == Answer::kOpen) return a;
  return a == Answer::kYes ? Answer::kNo : Answer::kYes;
}

Answer any_of(const std::vector<std::uint32_t>& group, const Answers& answers) {
  bool open = false;
  for (const std::uint32_t node : group) {
    if (answers[node] == Answer::kYes) return Answer::kYes;
    open = open || answers[node] == Answer::kOpen;
  }
  return open ? Answer::kOpen : Answer::kNo;
}

Answer one_of(const std::vector<std::uint32_t>& group, const Answers& answers) {
  std::size_t yes = 0;
  std::size_t open = 0;
  for (const std::uint32_t node : group) {
    yes += answers[node] == Answer::kYes ? 1 : 0;
    open += answers[node] == Answer::kOpen ? 1 : 0;
  }
  if (yes > 1 || yes + open == 0) return Answer::kNo;
  return open == 0 ? Answer::kYes : Answer::kOpen;
}

Answer conditional(const Goal::Links& links, const Answers& answers) {
  const Answer condition = answers[*links.condition];
  const Answer consequence = links.consequence ? answers[*links.consequence] : Answer::kYes;
  const Answer alternative = links.alternative ? answers[*links.alternative] : Answer::kYes;
  if (condition != Answer::kOpen) return condition == Answer::kYes ? consequence : alternative;
  return consequence == alternative ? consequence : Answer::kOpen;
}

}  // namespace

void evaluate(const Goal& goal, const HasKey* has_key, bool is_whole, Answers& own) {
  if (!goal.has_links) return;
  for (std::size_t i = 0; i < goal.links.size(); ++i) {
    const Goal::Links& links = goal.links[i];
    Answer answer = own[i];
    for (const std::uint32_t node : links.all_of) answer = both(answer, own[node]);
    for (const auto& group : links.any_of) answer = both(answer, any_of(group, own));
    for (const auto& group : links.one_of) answer = both(answer, one_of(group, own));
    for (const std::uint32_t node : links.none_of) answer = both(answer, opposite(own[node]));
    if (links.condition) answer = both(answer, conditional(links, own));
    if (has_key != nullptr) {
      for (const auto& [name, node] : links.dependent) {
        if ((*has_key)(name)) {
          answer = both(answer, own[node]);
        } else if (!is_whole && answer == Answer::kYes) {
          answer = Answer::kOpen;
        }
      }
    }
    own[i] = answer;
  }
}

const Goal* Goals::goal(std::vector<SchemaId> outputs) {
  std::ranges::sort(outputs);
  outputs.erase(std::ranges::unique(outputs).begin(), outputs.end());
  std::unique_ptr<Goal>& goal = goals_[outputs];
  if (goal) return goal.get();
  goal = std::make_unique<Goal>();
  goal->outputs = std::move(outputs);
  close(*goal);
  find_starts(*goal);
  return goal.get();
}

// Adds what the outputs depend on; no schema depends on itself in place.
void Goals::close(Goal& goal) {
  goal.is_joint = goal.outputs.size() == 1;
  std::vector<std::pair<SchemaId, bool>> todo;  // and whether its children are in
  todo.reserve(goal.outputs.size());
  for (const SchemaId id : goal.outputs) todo.emplace_back(id, false);
  while (!todo.empty()) {
    const auto [id, is_expanded] = todo.back();
    todo.pop_back();
    if (goal.node_of.contains(id)) continue;
    const Schema& schema = set_.schemas[id];
    if (is_expanded) {
      goal.node_of[id] = static_cast<std::uint32_t>(goal.nodes.size());
      goal.nodes.push_back(id);
      goal.schemas.push_back(&schema);
      continue;
    }
    const bool only_all = schema.any_of.empty() && schema.one_of.empty() && schema.none_of.empty() &&
                          schema.condition == kNoSchema && schema.dependent_schemas.empty();
    goal.is_joint = goal.is_joint && only_all;
    todo.emplace_back(id, true);
    for_each_in_place(schema, [&](SchemaId next) { todo.emplace_back(next, false); });
  }
  for (const SchemaId id : goal.outputs) goal.output_nodes.push_back(goal.node_of[id]);
  link(goal);
  goal.num_words = (goal.nodes.size() + 63) / 64;
}

void Goals::link(Goal& goal) {
  const auto nodes_of = [&](const std::vector<SchemaId>& ids) {
    std::vector<std::uint32_t> nodes;
    nodes.reserve(ids.size());
    for (const SchemaId id : ids) nodes.push_back(goal.node_of[id]);
    return nodes;
  };
  const auto node_of = [&](SchemaId id) {
    return id == kNoSchema ? std::nullopt : std::optional<std::uint32_t>(goal.node_of[id]);
  };
  for (const Schema* schema : goal.schemas) {
    Goal::Links& links = goal.links.emplace_back();
    links.all_of = nodes_of(schema->all_of);
    for (const auto& group : schema->any_of) links.any_of.push_back(nodes_of(group));
    for (const auto& group : schema->one_of) links.one_of.push_back(nodes_of(group));
    links.none_of = nodes_of(schema->none_of);
    links.condition = node_of(schema->condition);
    links.consequence = node_of(schema->consequence);
    links.alternative = node_of(schema->alternative);
    for (const auto& [name, id] : schema->dependent_schemas) links.dependent.emplace_back(name, goal.node_of[id]);
    goal.has_dependent = goal.has_dependent || !links.dependent.empty();
    for_each_in_place(*schema, [&](SchemaId) { goal.has_links = true; });
  }
}

namespace {

// Whether the schema's own keywords ask nothing more of a value of this type, the bit of a ValueType.
bool allows_all(const Schema& schema, std::size_t type) {
  switch (1U << type) {
    case kNumber:
      return schema.number.is_plain() && !schema.number.is_integer;
    case kString:
      return schema.patterns.empty() && !schema.words && schema.min_length == 0 && schema.max_length == kNoBound;
    case kArray:
      return schema.prefix.empty() && schema.items == kNoSchema && schema.contains == kNoSchema &&
             schema.min_items == 0 && schema.max_items == kNoBound && !schema.unique_items;
    case kObject:
      return !schema.limits_objects();
    default:
      return true;
  }
}

}  // namespace

void Goals::find_starts(Goal& goal) {
  for (std::size_t type = 0; type < goal.starts.size(); ++type) {
    Goal::Start& start = goal.starts[type];
    start.failed.assign(goal.num_words, 0);
    start.settled.assign(goal.num_words, 0);
    Answers answers(goal.nodes.size(), Answer::kOpen);
    for (std::size_t i = 0; i < goal.nodes.size(); ++i) {
      const bool is_allowed = (goal.schemas[i]->types >> type & 1) != 0;
      if (is_allowed && !allows_all(*goal.schemas[i], type)) continue;
      add_bit(is_allowed ? start.settled.data() : start.failed.data(), i);
      answers[i] = is_allowed ? Answer::kYes : Answer::kNo;
    }
    evaluate(goal, nullptr, false, answers);
    for (const std::uint32_t node : goal.output_nodes) start.outputs.push_back(answers[node]);
    start.has_no = std::ranges::find(start.outputs, Answer::kNo) != start.outputs.end();
  }
}

bool Goals::is_trivial(SchemaId id) const {
  const Schema& schema = set_.schemas[id];
  bool has_others = false;
  for_each_in_place(schema, [&](SchemaId) { has_others = true; });
  for (std::size_t type = 0; type < 7; ++type) has_others = has_others || !allows_all(schema, type);
  return schema.types == kAnyType && !has_others;
}

LazyDfa* Goals::automaton(std::uint32_t pattern) {
  automata_.resize(set_.patterns.size());
  if (!automata_[pattern]) automata_[pattern] = std::make_unique<LazyDfa>(*set_.patterns[pattern], max_states_);
  return automata_[pattern].get();
}

}  // namespace caudal::grammar
