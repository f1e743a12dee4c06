// Strings that are values.
#include <algorithm>

#include "common/grammar/schema_machine/schema_machine.h"

namespace caudal::grammar {
namespace {

constexpr std::uint64_t kStringHash = 0x452821E638D01377ULL;

}  // namespace

void SchemaMachine::add_text(Product& product, const StringStep& read, State& next) {
  for (std::size_t i = 0; i < read.num_bytes; ++i) {
    const std::uint8_t byte = read.bytes[i];
    next.product = product.next(next.product, byte);
    next.count += begins_character(byte) ? 1 : 0;
    next.hash = mix(next.hash, byte);
  }
}

bool SchemaMachine::begin_string(const Frame& frame, State& next) {
  const Goal& goal = *frame.child->goal;
  StringPlan& plan = goals_.strings(goal);
  next = at(&frame, Phase::kString);
  next.product = plan.product->start();
  return allows_text(frame, goal, plan, next);
}

bool SchemaMachine::step_string_value(const State& state, std::uint8_t byte, Arena& arena, State& next) {
  next = state;
  auto place = static_cast<StringPlace>(state.lexical);
  const StringStep read = step_string(byte, place, next.escape);
  next.lexical = static_cast<std::uint8_t>(place);
  if (read.kind == StringStep::Kind::kRefused) return false;
  if (read.kind == StringStep::Kind::kClosed) return end_string(state, arena, next);
  const Frame& frame = frame_of(state);
  const Goal& goal = *frame.child->goal;
  StringPlan& plan = goals_.strings(goal);
  add_text(*plan.product, read, next);
  const auto allows = [&](const State& at) {
    const bool same = plan.product->signature(at.product) == plan.product->signature(state.product);
    const bool is_new_item = plan.is_enumerated && is_unique(frame);
    return (same && !plan.has_lengths && !plan.is_joint && !is_new_item) || allows_text(frame, goal, plan, at);
  };
  if (read.num_bytes != 0 || plan.nodes.empty()) return allows(next);
  return reaches_any(*plan.product, next, [&](std::uint32_t product) {
    State at = next;
    at.product = product;
    ++at.count;
    return allows(at);
  });
}

bool SchemaMachine::is_unique(const Frame& frame) {
  return frame.kind == Frame::Kind::kArray && !goals_.arrays(*frame.goal).unique_nodes.empty();
}

// Whether a string that begins like this can be the value.
bool SchemaMachine::allows_text(const Frame& frame, const Goal& goal, StringPlan& plan, const State& state) {
  if (plan.nodes.empty()) return true;
  if (goal.is_joint && !allows_lengths(plan, state.product, state.count))
    return is_feasible(frame, Answers{Answer::kNo});
  return allows_content(frame, goal, plan, state);
}

// Of a goal that all nodes have to satisfy together.
bool SchemaMachine::allows_lengths(const StringPlan& plan, std::uint32_t product, std::uint32_t count) {
  if (!plan.has_lengths) return true;
  if (count > plan.max_length) return false;
  for (std::size_t i = 0; i < plan.product->num_automata(); ++i) {
    const std::uint32_t most = plan.product->max_characters(product, i);
    if (plan.product->min_characters(product, i) > plan.max_length - count) return false;
    if (most != kNoBound && count + most < plan.min_length) return false;
  }
  return true;
}

bool SchemaMachine::allows_content(const Frame& frame, const Goal& goal, StringPlan& plan, const State& state) {
  if (plan.is_joint && !plan.product->reaches_all(state.product)) return is_feasible(frame, Answers{Answer::kNo});
  Answers answers = string_answers(goal, plan, state.product, state.count, false);
  evaluate(goal, nullptr, false, answers);
  if (!is_feasible(frame, outputs_of(goal, answers))) return false;
  return !is_unique(frame) || reaches_new_item(frame, plan, state.product);
}

// Of each node's own keywords.
Answers SchemaMachine::string_answers(const Goal& goal, const StringPlan& plan, std::uint32_t product,
                                      std::uint32_t count, bool is_whole) {
  Answers answers = own_answers(goal, 4, goal.starts[4].failed.data(), is_whole ? Answer::kYes : Answer::kOpen);
  for (const StringPlan::Node& node : plan.nodes) {
    bool fails = (count > node.max_length && (is_whole || !goal.is_joint)) || (is_whole && count < node.min_length);
    for (const std::uint32_t automaton : node.automata) {
      if (fails) break;
      if (is_whole) {
        fails = !plan.product->accepts(product, automaton);
        continue;
      }
      fails = plan.product->is_dead(product, automaton);
      if (goal.is_joint) continue;  // see allows_lengths()
      const std::uint32_t most = plan.product->max_characters(product, automaton);
      fails = fails || plan.product->min_characters(product, automaton) > node.max_length - count ||
              (most != kNoBound && count + most < node.min_length);
    }
    if (node.group) {
      const auto word = plan.product->word(product);
      fails = fails || (is_whole ? !word || !plan.product->is_in(*word, *node.group)
                                 : !plan.product->reaches(product, *node.group));
    }
    if (fails) answers[node.node] = Answer::kNo;
  }
  return answers;
}

// In an array of unique items: where only listed words are allowed, whether one that is no item yet begins like this.
bool SchemaMachine::reaches_new_item(const Frame& frame, const StringPlan& plan, std::uint32_t product) {
  if (!plan.is_enumerated) return true;
  const Product::Words words = plan.product->words(product);
  for (std::uint32_t word = words.first; word < words.last; ++word) {
    std::uint64_t hash = 0;
    for (const char c : plan.product->texts()[word]) hash = mix(hash, static_cast<std::uint8_t>(c));
    hash = mix(kStringHash, hash);
    const HashEntry* item = frame.items;
    while (item != nullptr && item->hash != hash) item = item->before;
    if (item == nullptr) return true;
  }
  boost::container::small_vector<std::uint64_t, 8> failed(frame.failed, frame.failed + frame.goal->num_words);
  for (const std::uint32_t node : goals_.arrays(*frame.goal).unique_nodes) add_bit(failed.data(), node);
  return is_feasible(frame, failed.data());
}

bool SchemaMachine::end_string(const State& state, Arena& arena, State& next) {
  const Frame& frame = frame_of(state);
  const Goal& goal = *frame.child->goal;
  Answers answers = string_answers(goal, goals_.strings(goal), state.product, state.count, true);
  evaluate(goal, nullptr, true, answers);
  return end_value(frame, outputs_of(goal, answers), mix(kStringHash, state.hash), arena, next);
}

// Whether an escape that has begun can stand for a character that is allowed here.
bool SchemaMachine::reaches_any(Product& product, const State& state,
                                const std::function<bool(std::uint32_t)>& allows) {
  for (const CodePointRange& range : escapable(static_cast<StringPlace>(state.lexical), state.escape)) {
    if (range.first > range.last) continue;
    for (const Utf8Sequence& sequence : utf8_sequences(CharacterClass(range.first, range.last).normalized())) {
      if (reaches_any(product, state.product, sequence, 0, allows)) return true;
    }
  }
  return false;
}

bool SchemaMachine::reaches_any(Product& product, std::uint32_t from, const Utf8Sequence& sequence, int index,
                                const std::function<bool(std::uint32_t)>& allows) {
  const ByteRange range = sequence.bytes[static_cast<std::size_t>(index)];
  for (int byte = range.first; byte <= range.last; ++byte) {
    const std::uint32_t to = product.next(from, static_cast<std::uint8_t>(byte));
    if (!allows(to)) continue;
    if (index + 1 == sequence.size || reaches_any(product, to, sequence, index + 1, allows)) return true;
  }
  return false;
}

}  // namespace caudal::grammar
