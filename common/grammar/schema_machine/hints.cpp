// What the mask within a string can be made from.
#include <algorithm>

#include "common/grammar/schema_machine/schema_machine.h"

namespace caudal::grammar {
namespace {

constexpr std::size_t kMaxReached = 16;         // states of the automata
constexpr std::uint32_t kUsualCharacters = 32;  // that a token has at most; see TokenVocabulary

}  // namespace

MaskHint SchemaMachine::hint(const State& state) {
  if (static_cast<StringPlace>(state.lexical) != StringPlace::kPlain) return {};
  inside_allowed_.clear();
  if (phase_of(state) == Phase::kString) return value_hint(state);
  if (phase_of(state) == Phase::kKey) return key_hint(state);
  return {};
}

// How many characters may follow, whichever they are; nothing where that depends on them.
std::optional<std::uint32_t> SchemaMachine::free_characters(const State& state, const Goal& goal,
                                                            const StringPlan& plan) {
  if (plan.nodes.empty()) return kNoBound;
  const Frame& frame = frame_of(state);
  if (is_unique(frame) && plan.is_enumerated) return std::nullopt;
  // What characters can make fail, fails.
  Answers answers = own_answers(goal, 4, goal.starts[4].failed.data(), Answer::kOpen);
  std::vector<std::uint32_t> limits;
  bool depends = false;  // some node on what the characters are
  const bool is_free = plan.product->is_absorbing(state.product);
  for (const StringPlan::Node& node : plan.nodes) {
    bool fails = node.group.has_value() || state.count > node.max_length;
    for (const std::uint32_t automaton : node.automata) {
      const bool is_safe = is_free ? !plan.product->is_dead(state.product, automaton)
                                   : plan.product->can_always_match(automaton) && !plan.has_lengths;
      fails = fails || !is_safe;
    }
    if (fails) {
      depends = depends || state.count <= node.max_length;
      answers[node.node] = Answer::kNo;
    }
    if (node.max_length != kNoBound && !fails) limits.push_back(node.max_length);
  }
  if (plan.is_joint && !is_free) return std::nullopt;
  const auto is_allowed = [&] {
    Answers all = answers;
    evaluate(goal, nullptr, false, all);
    return is_feasible(frame, outputs_of(goal, all));
  };
  if (!is_allowed()) return std::nullopt;
  std::ranges::sort(limits);
  for (const std::uint32_t limit : limits) {
    for (const StringPlan::Node& node : plan.nodes) {
      if (node.max_length <= limit) answers[node.node] = Answer::kNo;
    }
    if (!is_allowed()) return depends ? std::nullopt : std::optional(limit - state.count);
  }
  return kNoBound;
}

// Whether no limit of the length can forbid a usual token.
bool SchemaMachine::is_far_from_limits(const StringPlan& plan, const State& state) {
  std::uint32_t distance = kUsualCharacters;
  for (std::size_t i = 0; i < plan.product->num_automata(); ++i) {
    distance = std::max(distance, kUsualCharacters + plan.product->max_distance(i));
    if (state.count < plan.min_length && plan.product->max_characters(state.product, i) != kNoBound) return false;
  }
  return std::ranges::all_of(plan.nodes, [&](const StringPlan::Node& node) {
    return node.max_length == kNoBound || node.max_length < state.count || node.max_length - state.count >= distance;
  });
}

// Equal where the frames around are in the same state.
std::uint64_t SchemaMachine::context_of(const Frame& frame) {
  std::uint64_t hash = 0;
  for (const Frame* at = &frame; at->kind != Frame::Kind::kDocument; at = at->parent) {
    hash = mix(hash, reinterpret_cast<std::uintptr_t>(at->child));
    for (std::size_t i = 0; i < at->goal->num_words; ++i) hash = mix(hash, at->failed[i]);
    if (at->kind == Frame::Kind::kArray) {
      const std::size_t num_counts = goals_.arrays(*at->goal).containing_nodes.size();
      for (std::size_t i = 0; i < num_counts; ++i)
        hash = mix(hash, at->contained[i] + (std::uint64_t{at->count} << 32));
    } else if (at->goal->has_dependent) {
      const std::size_t num_words = goals_.objects(*at->goal).num_words;
      for (std::size_t i = 0; i < num_words; ++i) hash = mix(hash, at->seen[i]);
    }
  }
  return hash;
}

MaskHint SchemaMachine::value_hint(const State& state) {
  const Frame& frame = frame_of(state);
  const Goal& goal = *frame.child->goal;
  StringPlan& plan = goals_.strings(goal);
  if (const auto characters = free_characters(state, goal, plan))
    return {.kind = MaskHint::Kind::kFree, .max_characters = *characters};
  if (plan.product->num_automata() == 0 || (is_unique(frame) && plan.is_enumerated)) return {};
  MaskHint hint{.kind = MaskHint::Kind::kInside, .key = mix(reinterpret_cast<std::uintptr_t>(&plan), state.product)};
  const bool decides = goal.is_joint && !is_feasible(frame, Answers{Answer::kNo});
  if (!decides) hint.key = mix(hint.key, context_of(frame));
  hint.is_near_limit = plan.has_lengths;
  if (plan.has_lengths && !is_far_from_limits(plan, state)) hint.key = mix(hint.key, state.count + 1);
  return hint;
}

MaskHint SchemaMachine::key_hint(const State& state) {
  const Frame& frame = frame_of(state);
  ObjectPlan& plan = goals_.objects(*frame.goal);
  if (is_any_key_allowed(frame)) return {.kind = MaskHint::Kind::kFree};
  if (plan.product->num_automata() == 0) return {};
  MaskHint hint{.kind = MaskHint::Kind::kInside, .key = mix(reinterpret_cast<std::uintptr_t>(&plan), state.product)};
  hint.key = mix(hint.key, context_of(frame));
  for (std::size_t i = 0; i < plan.num_words; ++i) hint.key = mix(hint.key, frame.seen[i]);
  hint.key = mix(hint.key, frame.count);
  if (plan.names.has_lengths) hint.key = mix(hint.key, state.count + 1);
  return hint;
}

Product& SchemaMachine::product_of(const State& state) {
  const Frame& frame = frame_of(state);
  if (phase_of(state) == Phase::kKey) return *goals_.objects(*frame.goal).product;
  return *goals_.strings(*frame.child->goal).product;
}

void SchemaMachine::add_inside(State& state, std::uint8_t byte) {
  add_text(product_of(state), {StringStep::Kind::kInside, {byte}, 1}, state);
}

// But for the lengths where all have to hold together: with those the answer would not be the product's.
bool SchemaMachine::is_allowed_inside(const State& state) {
  enum : std::uint8_t { kUnknown, kAllowed, kForbidden };
  if (inside_allowed_.size() <= state.product) inside_allowed_.resize(state.product + 64, kUnknown);
  const Frame& frame = frame_of(state);
  std::uint8_t& known = inside_allowed_[state.product];
  if (phase_of(state) == Phase::kKey) {
    const bool has_lengths = goals_.objects(*frame.goal).names.has_lengths;
    if (known == kUnknown || has_lengths)
      known = reaches_key(frame, state.product, state.count) ? kAllowed : kForbidden;
    return known == kAllowed;
  }
  const Goal& goal = *frame.child->goal;
  StringPlan& plan = goals_.strings(goal);
  if (known == kUnknown || (plan.has_lengths && !goal.is_joint))
    known = allows_content(frame, goal, plan, state) ? kAllowed : kForbidden;
  return known == kAllowed;
}

void SchemaMachine::find_inside(const State& state, const Trie& trie, std::span<std::uint64_t> mask) {
  struct Level {
    std::uint32_t end;
    std::uint32_t product;
    std::uint32_t count;
  };
  const Frame& frame = frame_of(state);
  const bool is_key = phase_of(state) == Phase::kKey;
  Product& product = product_of(state);
  const StringPlan& plan = is_key ? goals_.objects(*frame.goal).names : goals_.strings(*frame.child->goal);
  const bool is_joint = !is_key && frame.child->goal->is_joint;
  const bool decides = is_joint && plan.has_lengths && !is_feasible(frame, Answers{Answer::kNo});
  const bool always_asks = plan.has_lengths && !is_joint;
  const bool skips = !plan.has_lengths || is_far_from_limits(plan, state);
  const auto& nodes = trie.nodes();
  std::vector<Level> path{{trie.size(), state.product, state.count}};
  State at = state;
  for (std::uint32_t node = 1; node < trie.size();) {
    while (path.back().end <= node) path.pop_back();
    at.product = product.next(path.back().product, nodes[node].byte);
    at.count = path.back().count + (begins_character(nodes[node].byte) ? 1 : 0);
    const bool is_known = at.product < inside_allowed_.size() && inside_allowed_[at.product] != 0 && !always_asks;
    const bool allowed = is_known ? inside_allowed_[at.product] == 1 : is_allowed_inside(at);
    if (!allowed || (decides && !allows_lengths(plan, at.product, at.count))) {
      node = nodes[node].end;
      continue;
    }
    const bool loops = skips && (nodes[node].groups & ~product.loops(at.product)) == 0;  // so do all below
    for (const std::uint32_t token : loops ? trie.all_values(node) : trie.values(node)) add_bit(mask.data(), token);
    if (loops) {
      node = nodes[node].end;
      continue;
    }
    path.push_back({nodes[node].end, at.product, at.count});
    ++node;
  }
}

bool SchemaMachine::allows_inside(const State& state, std::string_view alphabet) {
  const Frame& frame = frame_of(state);
  const bool is_key = phase_of(state) == Phase::kKey;
  const StringPlan& plan = is_key ? goals_.objects(*frame.goal).names : goals_.strings(*frame.child->goal);
  if (plan.has_lengths && !is_far_from_limits(plan, state)) return false;
  Product& product = product_of(state);
  std::vector<std::uint32_t> reached{state.product};
  State at = state;
  for (std::size_t i = 0; i < reached.size(); ++i) {
    for (const char c : alphabet) {
      at.product = product.next(reached[i], static_cast<std::uint8_t>(c));
      if (std::ranges::find(reached, at.product) != reached.end()) continue;
      if (reached.size() > kMaxReached || !is_allowed_inside(at)) return false;
      reached.push_back(at.product);
    }
  }
  return true;
}

std::optional<std::uint64_t> SchemaMachine::end_class(const State& state) {
  const Frame& frame = frame_of(state);
  if (phase_of(state) == Phase::kKey) {
    const ObjectPlan& plan = goals_.objects(*frame.goal);
    const auto word = plan.product->word(state.product);
    if (word && has_bit(frame.seen, *word)) return std::nullopt;
    if (!word) {
      for (const HashEntry* other = frame.others; other != nullptr; other = other->before) {
        if (other->hash == state.hash) return std::nullopt;
      }
    }
    return mix(state.product, plan.names.has_lengths ? state.count : 0);
  }
  if (frame.is_hashed) return mix(state.product, state.hash);
  const StringPlan& plan = goals_.strings(*frame.child->goal);
  std::uint64_t hash = state.product;
  for (const StringPlan::Node& node : plan.nodes)
    hash = mix(hash, (state.count < node.min_length ? 1 : 0) + (state.count > node.max_length ? 2 : 0));
  return hash;
}

}  // namespace caudal::grammar
