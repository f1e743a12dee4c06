// What the nodes of a goal ask of values of each type, put together. See goal.h.
#include <algorithm>

#include "common/grammar/schema_machine/goal.h"

namespace caudal::grammar {

// --- Strings ---

// The product also reads `names` and `patterns`; its automata begin with those.
StringPlan Goals::string_plan(const Goal& goal, std::vector<std::string> names, std::vector<std::uint32_t> patterns) {
  StringPlan plan;
  std::vector<const std::vector<std::string>*> lists;
  for (std::uint32_t i = 0; i < goal.nodes.size(); ++i) {
    const Schema& schema = *goal.schemas[i];
    const bool has_length = schema.min_length != 0 || schema.max_length != kNoBound;
    if (schema.patterns.empty() && !schema.words && !has_length) continue;
    StringPlan::Node node{i, {}, std::nullopt, schema.min_length, schema.max_length};
    for (const std::uint32_t pattern : schema.patterns) {
      auto at = std::ranges::find(patterns, pattern);
      if (at == patterns.end()) at = patterns.insert(patterns.end(), pattern);
      node.automata.push_back(static_cast<std::uint32_t>(at - patterns.begin()));
    }
    if (schema.words) {
      node.group = static_cast<std::uint32_t>(lists.size());
      lists.push_back(&*schema.words);
      names.insert(names.end(), schema.words->begin(), schema.words->end());
    }
    plan.has_lengths = plan.has_lengths || has_length;
    plan.min_length = std::max(plan.min_length, schema.min_length);
    plan.max_length = std::min(plan.max_length, schema.max_length);
    plan.nodes.push_back(std::move(node));
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  std::vector<WordSet> groups;
  for (const auto* list : lists) {
    WordSet& group = groups.emplace_back((names.size() + 63) / 64, 0);
    for (const std::string& word : *list) {
      const auto index = static_cast<std::size_t>(std::ranges::lower_bound(names, word) - names.begin());
      add_bit(group.data(), index);
    }
  }
  std::vector<LazyDfa*> automata;
  automata.reserve(patterns.size());
  for (const std::uint32_t pattern : patterns) automata.push_back(automaton(pattern));
  plan.is_enumerated = goal.is_joint && !groups.empty();
  plan.is_joint = goal.is_joint && automata.size() + groups.size() > 1;
  plan.product = std::make_shared<Product>(std::move(names), std::move(groups), std::move(automata));
  return plan;
}

StringPlan& Goals::strings(const Goal& goal) {
  if (!goal.strings) goal.strings = std::make_unique<StringPlan>(string_plan(goal, {}, {}));
  return *goal.strings;
}

// --- Numbers ---

NumberPlan& Goals::numbers(const Goal& goal) {
  if (goal.numbers) return *goal.numbers;
  goal.numbers = std::make_unique<NumberPlan>();
  NumberPlan& plan = *goal.numbers;
  NumberRule all;
  for (std::uint32_t i = 0; i < goal.nodes.size(); ++i) {
    const NumberRule& rule = goal.schemas[i]->number;
    if (rule.is_plain() && !rule.is_integer) continue;
    plan.nodes.push_back({i, rule});
    plan.nodes.back().rule.finish();
    all.intersect(rule);
  }
  plan.is_integer = goal.is_joint && all.is_integer;
  plan.allows_point = !plan.is_integer || all.allows_point;
  plan.needs_text = plan.is_integer ? !all.is_plain() : !plan.nodes.empty();
  all.finish();
  if (goal.is_joint && plan.nodes.size() > 1) plan.all = std::move(all);
  return plan;
}

// --- Arrays ---

ArrayPlan& Goals::arrays(const Goal& goal) {
  if (goal.arrays) return *goal.arrays;
  goal.arrays = std::make_unique<ArrayPlan>();
  ArrayPlan& plan = *goal.arrays;
  std::size_t num_children = 1;
  for (std::uint32_t i = 0; i < goal.nodes.size(); ++i) {
    const Schema& schema = *goal.schemas[i];
    const bool asks = !schema.prefix.empty() || schema.items != kNoSchema || schema.contains != kNoSchema ||
                      schema.min_items != 0 || schema.max_items != kNoBound || schema.unique_items;
    if (asks) plan.nodes.push_back(i);
    if (schema.unique_items) plan.unique_nodes.push_back(i);
    if (schema.contains != kNoSchema) plan.containing_nodes.push_back(i);
    num_children = std::max(num_children, schema.prefix.size() + 1);
  }
  for (std::size_t index = 0; index < num_children; ++index) plan.children.push_back(item(goal, plan, index));
  return plan;
}

namespace {

// Collects what the nodes of a container ask of one value in it.
class ChildMaker {
 public:
  explicit ChildMaker(const SchemaSet& set) : set_(set) {}

  void ask(std::uint32_t node, SchemaId id, bool counts, bool is_trivial) {
    if (!counts && is_trivial) return;
    if (!counts && set_.schemas[id].types == 0) {
      child_->fails.push_back(node);
      return;
    }
    asked_.push_back({node, id, counts});
  }
  void fail(std::uint32_t node) { child_->fails.push_back(node); }

  std::unique_ptr<Child> finish(Goals& goals) {
    std::vector<SchemaId> outputs;
    outputs.reserve(asked_.size());
    for (const Asked& asked : asked_) outputs.push_back(asked.id);
    child_->goal = goals.goal(std::move(outputs));
    for (const Asked& asked : asked_) {
      const auto output = std::ranges::lower_bound(child_->goal->outputs, asked.id) - child_->goal->outputs.begin();
      child_->uses.push_back({asked.node, static_cast<std::uint32_t>(output), asked.counts});
    }
    return std::move(child_);
  }

 private:
  struct Asked {
    std::uint32_t node;
    SchemaId id;
    bool counts;
  };
  const SchemaSet& set_;
  std::unique_ptr<Child> child_ = std::make_unique<Child>();
  std::vector<Asked> asked_;
};

}  // namespace

std::unique_ptr<Child> Goals::item(const Goal& goal, const ArrayPlan& plan, std::size_t index) {
  ChildMaker maker(set_);
  for (const std::uint32_t node : plan.nodes) {
    const Schema& schema = *goal.schemas[node];
    const SchemaId id = index < schema.prefix.size() ? schema.prefix[index] : schema.items;
    if (id != kNoSchema) maker.ask(node, id, false, is_trivial(id));
    if (schema.contains != kNoSchema) maker.ask(node, schema.contains, true, false);
  }
  return maker.finish(*this);
}

// --- Objects ---

ObjectPlan& Goals::objects(const Goal& goal) {
  if (goal.objects) return *goal.objects;
  goal.objects = std::make_unique<ObjectPlan>();
  ObjectPlan& plan = *goal.objects;
  std::vector<std::string> names;
  std::vector<SchemaId> name_schemas;
  for (std::uint32_t i = 0; i < goal.nodes.size(); ++i) {
    const Schema& schema = *goal.schemas[i];
    if (!schema.limits_objects()) continue;
    for (const auto& [name, id] : schema.properties) names.push_back(name);
    names.insert(names.end(), schema.required.begin(), schema.required.end());
    for (const auto& [name, others] : schema.dependent_required) {
      names.push_back(name);
      names.insert(names.end(), others.begin(), others.end());
    }
    for (const auto& [name, id] : schema.dependent_schemas) names.push_back(name);
    for (const auto& [pattern, id] : schema.pattern_properties) {
      if (std::ranges::find(plan.patterns, pattern) == plan.patterns.end()) plan.patterns.push_back(pattern);
    }
    if (schema.names != kNoSchema) name_schemas.push_back(schema.names);
    plan.nodes.push_back({i, &schema, {}, 0, {}});
  }
  plan.names_goal = this->goal(std::move(name_schemas));
  plan.names = string_plan(*plan.names_goal, std::move(names), plan.patterns);
  plan.product = plan.names.product;
  const auto& texts = plan.product->texts();
  plan.num_words = (texts.size() + 63) / 64;
  const auto index_of = [&](const std::string& name) {
    return static_cast<std::uint32_t>(std::ranges::lower_bound(texts, name) - texts.begin());
  };
  const auto set_of = [&](const std::vector<std::string>& list) {
    WordSet set(plan.num_words, 0);
    for (const std::string& name : list) add_bit(set.data(), index_of(name));
    return set;
  };
  for (ObjectPlan::Node& node : plan.nodes) {
    node.required = set_of(node.schema->required);
    node.num_required = static_cast<std::uint32_t>(node.schema->required.size());
    for (const auto& [name, others] : node.schema->dependent_required)
      node.dependent_required.emplace_back(index_of(name), set_of(others));
    if (node.schema->names == kNoSchema) continue;
    const auto output =
        std::ranges::lower_bound(plan.names_goal->outputs, node.schema->names) - plan.names_goal->outputs.begin();
    plan.name_uses.emplace_back(node.node, static_cast<std::uint32_t>(output));
  }
  plan.child_of_word.resize(texts.size(), nullptr);
  plan.child_of_pattern.resize(plan.patterns.size(), nullptr);
  return plan;
}

const Child* Goals::member(const Goal& goal, std::optional<std::uint32_t> word,
                           const std::vector<std::uint32_t>& accepted,
                           const std::vector<std::uint32_t>& refused_names) {
  ObjectPlan& plan = objects(goal);
  std::vector<std::uint32_t> key{word ? *word + 1 : 0, static_cast<std::uint32_t>(accepted.size())};
  key.insert(key.end(), accepted.begin(), accepted.end());
  key.insert(key.end(), refused_names.begin(), refused_names.end());
  std::unique_ptr<Child>& child = plan.children[key];
  if (child) return child.get();
  ChildMaker maker(set_);
  for (const std::uint32_t node : refused_names) maker.fail(node);
  for (const ObjectPlan::Node& node : plan.nodes) {
    const Schema& schema = *node.schema;
    bool is_named = false;
    const auto ask = [&](SchemaId id) {
      is_named = true;
      maker.ask(node.node, id, false, is_trivial(id));
    };
    if (word) {
      const std::string& name = plan.product->texts()[*word];
      const auto property =
          std::ranges::lower_bound(schema.properties, name, {}, [](const auto& p) { return p.first; });
      if (property != schema.properties.end() && property->first == name) ask(property->second);
    }
    for (const auto& [pattern, id] : schema.pattern_properties) {
      const auto automaton =
          static_cast<std::uint32_t>(std::ranges::find(plan.patterns, pattern) - plan.patterns.begin());
      if (std::ranges::find(accepted, automaton) != accepted.end()) ask(id);
    }
    if (!is_named && schema.additional != kNoSchema) ask(schema.additional);
  }
  child = maker.finish(*this);
  return child.get();
}

}  // namespace caudal::grammar
