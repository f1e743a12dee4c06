// Keys and members of objects.
#include <algorithm>
#include <bit>

#include "common/grammar/schema_machine/schema_machine.h"

namespace caudal::grammar {
namespace {

// How many words of the set were no keys yet, the one at hand aside.
std::uint32_t count_missing(const WordSet& set, const std::uint64_t* seen, std::optional<std::uint32_t> word) {
  int count = 0;
  for (std::size_t i = 0; i < set.size(); ++i) count += std::popcount(set[i] & ~seen[i]);
  if (word && has_bit(set.data(), *word) && !has_bit(seen, *word)) --count;
  return static_cast<std::uint32_t>(count);
}

}  // namespace

bool SchemaMachine::begin_key(const Frame& frame, State& next) {
  next = at(&frame, Phase::kKey);
  next.product = goals_.objects(*frame.goal).product->start();
  return reaches_key(frame, next.product, 0);
}

bool SchemaMachine::step_key(const State& state, std::uint8_t byte, Arena& arena, State& next) {
  next = state;
  auto place = static_cast<StringPlace>(state.lexical);
  const StringStep read = step_string(byte, place, next.escape);
  next.lexical = static_cast<std::uint8_t>(place);
  if (read.kind == StringStep::Kind::kRefused) return false;
  if (read.kind == StringStep::Kind::kClosed) return end_key(state, arena, next);
  const Frame& frame = frame_of(state);
  Product& product = *goals_.objects(*frame.goal).product;
  add_text(product, read, next);
  if (read.num_bytes != 0) return reaches_key(frame, next.product, next.count);
  return reaches_any(product, next, [&](std::uint32_t at) { return reaches_key(frame, at, next.count); });
}

const Child* SchemaMachine::child_of_word(const Goal& goal, std::uint32_t word) {
  ObjectPlan& plan = goals_.objects(goal);
  if (plan.child_of_word[word] != nullptr) return plan.child_of_word[word];
  State state;
  state.product = plan.product->start();
  for (const char c : plan.product->texts()[word]) {
    const auto byte = static_cast<std::uint8_t>(c);
    state.product = plan.product->next(state.product, byte);
    state.count += begins_character(byte) ? 1 : 0;
  }
  return plan.child_of_word[word] = child_at(goal, state);
}

// Of the key that ends here.
const Child* SchemaMachine::child_at(const Goal& goal, const State& state) {
  ObjectPlan& plan = goals_.objects(goal);
  if (plan.child_of_state.size() <= state.product) plan.child_of_state.resize(state.product + 1, nullptr);
  const Child*& known = plan.child_of_state[state.product];
  if (known != nullptr && !plan.names.has_lengths) return known;
  std::vector<std::uint32_t> accepted;
  for (std::uint32_t i = 0; i < plan.patterns.size(); ++i) {
    if (plan.product->accepts(state.product, i)) accepted.push_back(i);
  }
  std::vector<std::uint32_t> refused;
  if (!plan.name_uses.empty()) {
    Answers answers = string_answers(*plan.names_goal, plan.names, state.product, state.count, true);
    evaluate(*plan.names_goal, nullptr, true, answers);
    const Answers outputs = outputs_of(*plan.names_goal, answers);
    for (const auto& [node, output] : plan.name_uses) {
      if (outputs[output] == Answer::kNo) refused.push_back(node);
    }
  }
  known = goals_.member(goal, plan.product->word(state.product), accepted, refused);
  return known;
}

// Adds the nodes that one more key, this word or another one, is too much for.
bool SchemaMachine::fail_too_many(const Frame& frame, std::optional<std::uint32_t> word, std::uint64_t* failed) {
  bool changed = false;
  for (const ObjectPlan::Node& node : goals_.objects(*frame.goal).nodes) {
    const std::uint32_t max = node.schema->max_properties;
    if (max != kNoBound && frame.count + 1 + count_missing(node.required, frame.seen, word) > max)
      changed = add_bit(failed, node.node) || changed;
    for (const auto& [key, others] : node.dependent_required) {
      if (key != word) continue;
      for (std::uint32_t other = 0; other < others.size() * 64; ++other) {
        if (!has_bit(others.data(), other) || has_bit(frame.seen, other)) continue;
        const auto& fails = child_of_word(*frame.goal, other)->fails;
        if (std::ranges::find(fails, node.node) != fails.end()) changed = add_bit(failed, node.node) || changed;
      }
    }
  }
  return changed;
}

bool SchemaMachine::can_have(const Frame& frame, const Child& child, std::optional<std::uint32_t> word) {
  if (frame.goal->nodes.empty()) return true;
  boost::container::small_vector<std::uint64_t, 8> failed(frame.failed, frame.failed + frame.goal->num_words);
  const bool is_forbidden = add_failures(child, failed.data());
  const bool is_too_many = fail_too_many(frame, word, failed.data());
  return (!is_forbidden && !is_too_many) || is_feasible(frame, failed.data());
}

// Of a key that is no word in reach: no pattern matches it, or only this one.
const Child* SchemaMachine::child_of_other(const Frame& frame, std::optional<std::uint32_t> pattern,
                                           std::uint32_t product, std::uint32_t count) {
  ObjectPlan& plan = goals_.objects(*frame.goal);
  std::vector<std::uint32_t> accepted;
  if (pattern) accepted.push_back(*pattern);
  if (plan.name_uses.empty()) {
    const Child*& known = pattern ? plan.child_of_pattern[*pattern] : plan.other_child;
    if (known == nullptr) known = goals_.member(*frame.goal, std::nullopt, accepted, {});
    return known;
  }
  Answers answers = string_answers(*plan.names_goal, plan.names, product, count, false);
  for (const StringPlan::Node& node : plan.names.nodes) {
    if (node.group) answers[node.node] = Answer::kNo;
  }
  evaluate(*plan.names_goal, nullptr, false, answers);
  const Answers outputs = outputs_of(*plan.names_goal, answers);
  std::vector<std::uint32_t> refused;
  for (const auto& [node, output] : plan.name_uses) {
    if (outputs[output] == Answer::kNo) refused.push_back(node);
  }
  return goals_.member(*frame.goal, std::nullopt, accepted, refused);
}

// Whether a key that begins like this can be added.
bool SchemaMachine::reaches_key(const Frame& frame, std::uint32_t product, std::uint32_t count) {
  ObjectPlan& plan = goals_.objects(*frame.goal);
  if (can_have(frame, *child_of_other(frame, std::nullopt, product, count), std::nullopt)) return true;
  for (std::uint32_t i = 0; i < plan.patterns.size(); ++i) {
    if (plan.product->is_dead(product, i)) continue;
    if (can_have(frame, *child_of_other(frame, i, product, count), std::nullopt)) return true;
  }
  const Product::Words words = plan.product->words(product);
  for (std::uint32_t word = words.first; word < words.last; ++word) {
    if (!has_bit(frame.seen, word) && can_have(frame, *child_of_word(*frame.goal, word), word)) return true;
  }
  return false;
}

// Whether a key may go on in any way: even one that is refused and matches every pattern could be added.
bool SchemaMachine::is_any_key_allowed(const Frame& frame) {
  if (frame.goal->nodes.empty()) return true;
  ObjectPlan& plan = goals_.objects(*frame.goal);
  if (plan.other_child == nullptr) plan.other_child = goals_.member(*frame.goal, std::nullopt, {}, {});
  boost::container::small_vector<std::uint64_t, 8> failed(frame.failed, frame.failed + frame.goal->num_words);
  bool changed = add_failures(*plan.other_child, failed.data());
  for (std::uint32_t i = 0; i < plan.patterns.size(); ++i) {
    const Child*& child = plan.child_of_pattern[i];
    if (child == nullptr) child = goals_.member(*frame.goal, std::nullopt, {i}, {});
    changed = add_failures(*child, failed.data()) || changed;
  }
  for (const auto& [node, output] : plan.name_uses) changed = add_bit(failed.data(), node) || changed;
  changed = fail_too_many(frame, std::nullopt, failed.data()) || changed;
  return !changed || is_feasible(frame, failed.data());
}

bool SchemaMachine::end_key(const State& state, Arena& arena, State& next) {
  const Frame& frame = frame_of(state);
  const ObjectPlan& plan = goals_.objects(*frame.goal);
  const std::optional<std::uint32_t> word = plan.product->word(state.product);
  auto* after = arena.make<Frame>();
  *after = frame;
  after->child = child_at(*frame.goal, state);
  after->key_hash = state.hash;
  after->count = frame.count + 1;
  if (word) {
    auto* seen = arena.make<std::uint64_t>(plan.num_words);
    std::copy_n(frame.seen, plan.num_words, seen);
    if (!add_bit(seen, *word)) return false;
    after->seen = seen;
  } else {
    for (const HashEntry* other = frame.others; other != nullptr; other = other->before) {
      if (other->hash == state.hash) return false;
    }
    auto* entry = arena.make<HashEntry>();
    *entry = {frame.others, state.hash};
    after->others = entry;
  }
  if (!frame.goal->nodes.empty()) {
    std::uint64_t* failed = copy_failed(frame, arena);
    const bool is_forbidden = add_failures(*after->child, failed);
    const bool is_too_many = fail_too_many(frame, word, failed);
    after->failed = failed;
    const bool changed = is_forbidden || is_too_many || frame.goal->has_dependent;
    if (changed && !is_feasible(*after, failed)) return false;
  }
  next = at(after, Phase::kColon);
  return can_begin(*after);
}

bool SchemaMachine::close_object(const Frame& frame, Arena& arena, State& next) {
  const ObjectPlan& plan = goals_.objects(*frame.goal);
  Answers answers = own_answers(*frame.goal, 6, frame.failed, Answer::kYes);
  for (const ObjectPlan::Node& node : plan.nodes) {
    bool fails =
        frame.count < node.schema->min_properties || count_missing(node.required, frame.seen, std::nullopt) != 0;
    for (const auto& [word, others] : node.dependent_required)
      fails = fails || (has_bit(frame.seen, word) && count_missing(others, frame.seen, std::nullopt) != 0);
    if (fails) answers[node.node] = Answer::kNo;
  }
  answer(frame, true, answers);
  return end_value(*frame.parent, outputs_of(*frame.goal, answers), mix(frame.hash, frame.count), arena, next);
}

}  // namespace caudal::grammar
