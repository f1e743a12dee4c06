// The grammar of JSON, and where values begin and end.
#include <algorithm>
#include <array>
#include <string_view>

#include "common/grammar/schema_machine/schema_machine.h"

namespace caudal::grammar {
namespace {

constexpr std::array<std::string_view, 3> kLiterals = {"null", "true", "false"};
constexpr std::uint32_t kMaxBlanks = 2;       // on one line
constexpr std::uint32_t kMaxIndent = 4;       // of one level
constexpr std::uint32_t kNewline = 1U << 16;  // in State::count
constexpr std::uint32_t kCarriageReturn = 1U << 17;
constexpr std::uint64_t kDocumentHash = 0x243F6A8885A308D3ULL;

int type_of(std::uint8_t byte) {
  switch (byte) {
    case 'n':
      return 0;
    case 't':
      return 1;
    case 'f':
      return 2;
    case '"':
      return 4;
    case '[':
      return 5;
    case '{':
      return 6;
    default:
      return byte == '-' || (byte >= '0' && byte <= '9') ? 3 : -1;
  }
}

}  // namespace

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t hash = (a ^ (b + 0x9E3779B97F4A7C15ULL + (a << 6) + (a >> 2))) * 0xBF58476D1CE4E5B9ULL;
  hash ^= hash >> 29;
  return hash * 0x94D049BB133111EBULL;
}

SchemaMachine::SchemaMachine(std::shared_ptr<const SchemaSet> set, const GrammarLimits& limits)
    : set_(std::move(set)), limits_(limits), goals_(*set_, limits.max_states) {
  root_child_.goal = goals_.goal({set_->root});
}

State SchemaMachine::at(const Frame* frame, Phase phase) {
  State state;
  state.frame = frame;
  state.phase = static_cast<std::uint8_t>(phase);
  return state;
}

State SchemaMachine::start(Arena& arena) {
  auto* document = arena.make<Frame>();
  *document = Frame{};
  document->child = &root_child_;
  document->kind = Frame::Kind::kDocument;
  return at(document, Phase::kValue);
}

bool SchemaMachine::step(const State& state, std::uint8_t byte, Arena& arena, State& next) {
  const Phase phase = phase_of(state);
  const Frame& frame = frame_of(state);
  if (phase == Phase::kString) return step_string_value(state, byte, arena, next);
  if (phase == Phase::kKey) return step_key(state, byte, arena, next);
  if (phase == Phase::kNumber) return step_number(state, byte, arena, next);
  if (phase == Phase::kLiteral) return step_literal(state, byte, arena, next);
  if (byte <= ' ') return skip_space(state, byte, arena, next);
  switch (phase) {
    case Phase::kValue:
      return begin_value(frame, byte, arena, next);
    case Phase::kFirstItem: {
      if (byte == ']') return close_array(frame, arena, next);
      const Frame* item = next_item(frame, arena);
      return item != nullptr && begin_value(*item, byte, arena, next);
    }
    case Phase::kFirstKey:
      if (byte == '}') return close_object(frame, arena, next);
      return byte == '"' && begin_key(frame, next);
    case Phase::kNextKey:
      return byte == '"' && begin_key(frame, next);
    case Phase::kColon:
      next = at(&frame, Phase::kValue);
      return byte == ':';
    default:
      if (byte == ',' && (state.count & (kNewline | kCarriageReturn)) != 0) return false;
      return step_after_value(frame, byte, arena, next);
  }
}

// Between any two signs: up to two blanks, and a line break with an indentation that the depth bounds. Before a colon
// one blank, and no line break before a colon or a comma: so there is none, either, where only a comma may follow. So
// every usual layout passes, and no model can go on in white space forever. Whether the object or array around what was
// read may end here.
bool SchemaMachine::may_close(const Frame& frame, Arena& arena) {
  if (frame.kind == Frame::Kind::kDocument) return true;
  const Arena::Mark mark = arena.mark();
  State closed;
  const bool result = step_after_value(frame, frame.kind == Frame::Kind::kObject ? '}' : ']', arena, closed);
  arena.release(mark);
  return result;
}

bool SchemaMachine::skip_space(const State& state, std::uint8_t byte, Arena& arena, State& next) {
  next = state;
  const std::uint32_t blanks = state.count & 0xFFFF;
  if (phase_of(state) == Phase::kColon) return byte == ' ' && next.count++ == 0;
  const bool breaks_line = byte == '\n' || byte == '\r';
  if (breaks_line && phase_of(state) == Phase::kAfterValue && !may_close(frame_of(state), arena)) return false;
  const bool is_indented = (state.count & kNewline) != 0;
  const bool expects_newline = (state.count & kCarriageReturn) != 0 && !is_indented;
  switch (byte) {
    case ' ':
    case '\t':
      if (expects_newline || blanks >= (is_indented ? kMaxIndent * (frame_of(state).depth + 1U) : kMaxBlanks))
        return false;
      ++next.count;
      return true;
    case '\r':
      next.count = kCarriageReturn;
      return !expects_newline && !is_indented;
    case '\n':
      next.count = kNewline;
      return !is_indented;
    default:
      return false;
  }
}

bool SchemaMachine::is_optional(const State& state, std::uint8_t byte) {
  const Phase phase = phase_of(state);
  const bool is_in_string = phase == Phase::kString || phase == Phase::kKey;
  if (is_in_string) return byte == '\\' && static_cast<StringPlace>(state.lexical) == StringPlace::kPlain;
  return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

bool SchemaMachine::begin_value(const Frame& frame, std::uint8_t byte, Arena& arena, State& next) {
  const int type = type_of(byte);
  if (type < 0) return false;
  const Goal::Start& start = frame.child->goal->starts[static_cast<std::size_t>(type)];
  if (start.has_no && !is_feasible(frame, start.outputs)) return false;
  switch (byte) {
    case '{':
    case '[':
      return begin_container(frame, byte == '{', arena, next);
    case '"':
      return begin_string(frame, next);
    case 'n':
    case 't':
    case 'f':
      next = at(&frame, Phase::kLiteral);
      next.product = static_cast<std::uint32_t>(type);
      next.count = 1;
      return true;
    default:
      return begin_number(frame, byte, arena, next);
  }
}

bool SchemaMachine::begin_container(const Frame& frame, bool is_object, Arena& arena, State& next) {
  if (frame.depth >= limits_.max_depth) return false;
  auto* inner = arena.make<Frame>();
  *inner = Frame{};
  inner->parent = &frame;
  inner->goal = frame.child->goal;
  inner->failed = inner->goal->starts[is_object ? 6 : 5].failed.data();
  inner->depth = static_cast<std::uint16_t>(frame.depth + 1);
  inner->kind = is_object ? Frame::Kind::kObject : Frame::Kind::kArray;
  inner->hash = mix(kDocumentHash, is_object ? 1 : 2);
  inner->is_hashed = frame.is_hashed;
  if (is_object) {
    const std::size_t words = goals_.objects(*inner->goal).num_words;
    auto* seen = arena.make<std::uint64_t>(words);
    std::fill_n(seen, words, 0);
    inner->seen = seen;
  } else {
    const ArrayPlan& plan = goals_.arrays(*inner->goal);
    inner->is_hashed = inner->is_hashed || !plan.unique_nodes.empty();
    auto* contained = arena.make<std::uint32_t>(plan.containing_nodes.size());
    std::fill_n(contained, plan.containing_nodes.size(), 0);
    inner->contained = contained;
  }
  next = at(inner, is_object ? Phase::kFirstKey : Phase::kFirstItem);
  return true;
}

bool SchemaMachine::step_literal(const State& state, std::uint8_t byte, Arena& arena, State& next) {
  const std::string_view literal = kLiterals[state.product];
  if (byte != static_cast<std::uint8_t>(literal[state.count])) return false;
  next = state;
  if (++next.count < literal.size()) return true;
  const Frame& frame = frame_of(state);
  const Goal& goal = *frame.child->goal;
  Answers answers = own_answers(goal, state.product, goal.starts[state.product].failed.data(), Answer::kYes);
  evaluate(goal, nullptr, true, answers);
  return end_value(frame, outputs_of(goal, answers), mix(kDocumentHash, 3 + state.product), arena, next);
}

bool SchemaMachine::end_value(const Frame& frame, const Answers& outputs, std::uint64_t hash, Arena& arena,
                              State& next) {
  if (frame.kind == Frame::Kind::kDocument) {
    next = at(&frame, Phase::kAfterValue);
    return std::ranges::all_of(outputs, [](Answer answer) { return answer == Answer::kYes; });
  }
  if (frame.kind == Frame::Kind::kArray) return end_item(frame, outputs, hash, arena, next);
  const bool has_no = std::ranges::find(outputs, Answer::kNo) != outputs.end();
  if (!has_no && !frame.is_hashed) {
    next = at(&frame, Phase::kAfterValue);
    return true;
  }
  auto* after = arena.make<Frame>();
  *after = frame;
  after->hash += mix(frame.key_hash, hash);  // in any order
  if (has_no) {
    std::uint64_t* failed = copy_failed(frame, arena);
    after->failed = failed;
    if (add_failures(frame, outputs, failed) && !is_feasible(*after, failed)) return false;
  }
  next = at(after, Phase::kAfterValue);
  return true;
}

bool SchemaMachine::step_after_value(const Frame& frame, std::uint8_t byte, Arena& arena, State& next) {
  if (frame.kind == Frame::Kind::kObject) {
    if (byte == '}') return close_object(frame, arena, next);
    next = at(&frame, Phase::kNextKey);
    return byte == ',' && reaches_key(frame, goals_.objects(*frame.goal).product->start(), 0);
  }
  if (frame.kind == Frame::Kind::kDocument) return false;
  if (byte == ']') return close_array(frame, arena, next);
  if (byte != ',') return false;
  const Frame* item = next_item(frame, arena);
  if (item == nullptr || !can_begin(*item)) return false;
  next = at(item, Phase::kValue);
  return true;
}

bool SchemaMachine::is_complete(const State& state, Arena& arena) {
  if (frame_of(state).kind != Frame::Kind::kDocument) return false;
  if (phase_of(state) == Phase::kAfterValue) return true;
  State ended;
  return phase_of(state) == Phase::kNumber && end_number(state, arena, ended);
}

}  // namespace caudal::grammar
