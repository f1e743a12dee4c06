// Numbers. Their text is kept only as long as a schema or the uniqueness of an item asks for the value.
#include <algorithm>

#include "common/grammar/schema_machine/schema_machine.h"

namespace caudal::grammar {
namespace {

enum Place : std::uint8_t { kStart, kMinus, kZero, kInteger, kPoint, kFraction, kE, kSign, kExponent };
enum Flag : std::uint8_t { kIsInteger = 1, kNoPoint = 2 };

constexpr std::uint64_t kNumberHash = 0xBE5466CF34E90C6CULL;
constexpr std::uint32_t kEndOfExponents = 290;  // so that no usual number is beyond double precision

struct Digit {
  const Digit* before;
  char digit;
};

bool is_digit(std::uint8_t byte) { return byte >= '0' && byte <= '9'; }

// Where a JSON number is behind `byte`; kStart: it is none. `exponent` so far.
Place next_place(Place place, std::uint8_t byte, std::uint8_t flags, std::uint32_t exponent) {
  const bool is_integer = (flags & kIsInteger) != 0;
  const bool has_value = place == kZero || place == kInteger || place == kFraction;
  if (has_value && (byte == 'e' || byte == 'E')) return (flags & kNoPoint) == 0 ? kE : kStart;
  switch (place) {
    case kStart:
      if (byte == '-') return kMinus;
      [[fallthrough]];
    case kMinus:
      return !is_digit(byte) ? kStart : byte == '0' ? kZero : kInteger;
    case kInteger:
      if (is_digit(byte)) return kInteger;
      [[fallthrough]];
    case kZero:
      return byte == '.' && (flags & kNoPoint) == 0 ? kPoint : kStart;
    case kPoint:
    case kFraction:
      return is_integer ? (byte == '0' ? kFraction : kStart) : is_digit(byte) ? kFraction : kStart;
    case kE:
      if (byte == '+' || (byte == '-' && !is_integer)) return kSign;
      [[fallthrough]];
    case kSign:
    case kExponent:
      return is_digit(byte) && exponent * 10 < kEndOfExponents ? kExponent : kStart;
  }
  return kStart;
}

std::string text_of(const void* last) {
  std::string text;
  for (const auto* digit = static_cast<const Digit*>(last); digit != nullptr; digit = digit->before)
    text += digit->digit;
  std::ranges::reverse(text);
  return text;
}

}  // namespace

bool SchemaMachine::begin_number(const Frame& frame, std::uint8_t byte, Arena& arena, State& next) {
  const NumberPlan& plan = goals_.numbers(*frame.child->goal);
  next = at(&frame, Phase::kNumber);
  // Only if the number must be what the goal asks.
  if (plan.is_integer && !is_feasible(frame, Answers{Answer::kNo}))
    next.flags = static_cast<std::uint8_t>(kIsInteger | (plan.allows_point ? 0 : kNoPoint));
  const bool needs_text = next.flags != 0 ? plan.needs_text : !plan.nodes.empty();
  next.escape = needs_text || frame.is_hashed ? 1 : 0;
  return add_digit(byte, arena, next);
}

bool SchemaMachine::add_digit(std::uint8_t byte, Arena& arena, State& next) {
  const Place place = next_place(static_cast<Place>(next.lexical), byte, next.flags, next.count);
  if (place == kStart) return false;
  next.lexical = place;
  if (place == kExponent) next.count = next.count * 10 + (byte - '0');
  if (next.escape == 0) return true;
  auto* digit = arena.make<Digit>();
  *digit = {static_cast<const Digit*>(next.text), static_cast<char>(byte)};
  next.text = digit;
  return allows_number(frame_of(next), text_of(digit), next);
}

// Whether a number that begins like this can be the value. Forgets the text where that is certain.
bool SchemaMachine::allows_number(const Frame& frame, const std::string& text, State& next) {
  const Goal& goal = *frame.child->goal;
  const NumberPlan& plan = goals_.numbers(goal);
  if (plan.all && !plan.all->can_become_allowed(text)) return is_feasible(frame, Answers{Answer::kNo});
  Answers answers = own_answers(goal, 3, goal.starts[3].failed.data(), Answer::kOpen);
  bool allows_all = !frame.is_hashed;
  bool fails = false;
  for (const NumberPlan::Node& node : plan.nodes) {
    const bool follows = !node.rule.is_integer || (next.flags & kIsInteger) != 0;
    if (allows_all && follows && node.rule.allows_all_that_begin(text)) continue;
    allows_all = false;
    if (node.rule.can_become_allowed(text)) continue;
    answers[node.node] = Answer::kNo;
    fails = true;
  }
  if (allows_all) {
    next.text = nullptr;
    next.escape = 0;
  }
  if (!fails) return true;
  evaluate(goal, nullptr, false, answers);
  return is_feasible(frame, outputs_of(goal, answers));
}

bool SchemaMachine::end_number(const State& state, Arena& arena, State& next) {
  const auto place = static_cast<Place>(state.lexical);
  if (place != kZero && place != kInteger && place != kFraction && place != kExponent) return false;
  const Frame& frame = frame_of(state);
  const Goal& goal = *frame.child->goal;
  Answers answers = own_answers(goal, 3, goal.starts[3].failed.data(), Answer::kYes);
  std::uint64_t hash = 0;
  if (state.text != nullptr) {
    const std::string text = text_of(state.text);
    for (const NumberPlan::Node& node : goals_.numbers(goal).nodes) {
      if (!node.rule.allows(text)) answers[node.node] = Answer::kNo;
    }
    hash = mix(kNumberHash, Decimal::parse(text).hash());
  }
  evaluate(goal, nullptr, true, answers);
  return end_value(frame, outputs_of(goal, answers), hash, arena, next);
}

bool SchemaMachine::step_number(const State& state, std::uint8_t byte, Arena& arena, State& next) {
  next = state;
  const bool goes_on = is_digit(byte) || byte == '.' || byte == 'e' || byte == 'E' || byte == '+' || byte == '-';
  if (goes_on) return add_digit(byte, arena, next);
  State ended;
  return end_number(state, arena, ended) && step(ended, byte, arena, next);
}

}  // namespace caudal::grammar
