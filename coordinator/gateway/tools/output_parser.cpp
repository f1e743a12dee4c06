#include "coordinator/gateway/tools/output_parser.h"

#include <algorithm>

#include "coordinator/gateway/tools/format/atoms.h"

namespace caudal {
namespace {

using Kind = CallElement::Kind;

constexpr std::size_t kMaxHeldSpaces = 64;  // of more, the first are text: what is sent must not fall silent

}  // namespace

OutputParser::OutputParser(const OutputFormat& format, const ParserOptions& options)
    : format_(format), options_(options), mode_(options.in_reasoning ? Mode::kReasoning : Mode::kContent) {
  drops_space_ = options.in_reasoning;
  add_triggers();
}

void OutputParser::add_triggers() {
  if (options_.tools && format_.tools) {
    add_call_triggers(format_.tools->call, format_.tools->block_open);
    for (const auto& call : format_.tools->other_calls) {
      if (!options_.held) add_call_triggers(call, "");
    }
  }
  if (format_.reasoning) {
    add_trigger(format_.reasoning->open, Action::kReasoning);
    add_trigger(format_.reasoning->close, Action::kContent);
  }
  for (const std::string& mark : format_.silent) add_trigger(mark, Action::kSilence);
  std::ranges::stable_sort(triggers_, [](const Trigger& a, const Trigger& b) { return a.mark.size() > b.mark.size(); });
  for (const Trigger& each : triggers_) starts_trigger_[static_cast<unsigned char>(each.mark.front())] = true;
}

void OutputParser::add_call_triggers(const std::vector<CallElement>& call, const std::string& block_open) {
  std::string mark(trimmed(block_open));
  const bool opens_block = !mark.empty();
  if (!opens_block && call.front().kind == Kind::kLiteral) mark = trimmed(call.front().text);
  if (mark.empty() && call.front().kind == Kind::kObject) mark = "{";
  if (mark.empty()) add_name_triggers(call);
  if (mark.empty()) return;
  triggers_.push_back({.mark = mark, .action = Action::kCall, .call = &call, .opens_block = opens_block});
}

// Nothing tells such a call from text but the name that the text begins with, or what stands between two calls.
void OutputParser::add_name_triggers(const std::vector<CallElement>& call) {
  for (const KnownTool& tool : options_.known) {
    triggers_.push_back({.mark = tool.name, .action = Action::kCall, .call = &call, .only_at_start = true});
  }
  const std::string mark(trimmed(format_.tools->separator));
  if (is_mark(mark) || mark.size() > 2) {
    triggers_.push_back({.mark = mark, .action = Action::kCall, .call = &call, .opens_block = true});
  }
}

// White space around reasoning is not part of it, nor of what follows; around other marks only what is part of the
// mark.
void OutputParser::add_trigger(const std::string& mark, Action action) {
  if (!visible(mark)) return;
  const bool all = action != Action::kSilence;
  triggers_.push_back({.mark = std::string(trimmed(mark)),
                       .action = action,
                       .takes_space_before = all || is_space(mark.front()),
                       .takes_space_behind = all || is_space(mark.back())});
}

void OutputParser::push(std::string_view text, ParsedOutput& out) {
  buffer_ += text;
  run(out);
}

void OutputParser::finish(ParsedOutput& out) {
  last_ = true;
  run(out);
  append_text(buffer_, out);
  (mode_ == Mode::kReasoning ? out.reasoning : out.content) += space_;
  buffer_.clear();
  space_.clear();
}

void OutputParser::run(ParsedOutput& out) {
  while (!buffer_.empty() && step(out)) {
  }
}

// False: more text is needed.
bool OutputParser::step(ParsedOutput& out) {
  switch (mode_) {
    case Mode::kContent:
    case Mode::kReasoning:
      return step_text(out);
    case Mode::kCall:
      return step_call(out);
    case Mode::kBetween:
      return step_between();
  }
  return false;
}

// Reasoning knows its end alone; it begins, or ends without a beginning, where there is no content.
bool OutputParser::applies(const Trigger& trigger) const {
  if (trigger.action == Action::kContent) return mode_ == Mode::kReasoning || at_start_;
  if (mode_ == Mode::kReasoning) return false;
  if (trigger.action == Action::kCall && wasted_bytes_ > kMaxWastedBytes) return false;
  const bool only_at_start = trigger.only_at_start || trigger.action == Action::kReasoning;
  return at_start_ || !only_at_start;
}

bool OutputParser::ignores(std::string_view mark) const {
  const auto is_it = [&](const Trigger& trigger) {
    return (trigger.action == Action::kReasoning || trigger.action == Action::kContent) && trigger.mark == mark;
  };
  const auto acts = [&](const Trigger& trigger) { return is_it(trigger) && applies(trigger); };
  return std::ranges::any_of(triggers_, is_it) && std::ranges::none_of(triggers_, acts);
}

// A grammar begins at a mark as it is written.
Match OutputParser::match(std::string_view text, const Trigger& trigger) const {
  std::size_t end = 0;
  if (!options_.held || trigger.action != Action::kCall) return match_mark(text, trigger.mark, end);
  if (text.starts_with(trigger.mark)) return Match::kFull;
  return trigger.mark.starts_with(text) ? Match::kPartial : Match::kNone;
}

// The longest mark that begins here. `incomplete`: a longer one may, once more has come.
const OutputParser::Trigger* OutputParser::trigger_at(std::string_view text, bool& incomplete) const {
  for (const Trigger& trigger : triggers_) {
    if (!applies(trigger)) continue;
    const Match matched = match(text, trigger);
    if (matched == Match::kFull) return &trigger;
    if (matched == Match::kPartial) incomplete = true;
  }
  return nullptr;
}

bool OutputParser::step_text(ParsedOutput& out) {
  std::size_t at = 0;
  bool incomplete = false;
  const Trigger* found = nullptr;
  for (; at < buffer_.size(); ++at) {
    if (starts_trigger_[static_cast<unsigned char>(buffer_[at])]) {
      found = trigger_at(std::string_view(buffer_).substr(at), incomplete);
      incomplete = incomplete && !last_;
      if (found != nullptr || incomplete) break;
    }
    if (!is_space(buffer_[at])) at_start_ = false;
  }
  append_text(std::string_view(buffer_).substr(0, at), out);
  buffer_.erase(0, at);
  if (found == nullptr || incomplete) return false;
  act(*found);
  return true;
}

// The mark is at the front of the buffer.
void OutputParser::act(const Trigger& trigger) {
  std::size_t end = 0;
  match_mark(buffer_, trigger.mark, end);
  if (trigger.action == Action::kCall) {
    rejected_ = end;
    call_at_ = trigger.opens_block ? end : 0;
    call_ = trigger.call;
    reader_.emplace(*format_.tools, *call_, options_.known, options_.held);
    mode_ = Mode::kCall;
    return;
  }
  buffer_.erase(0, end);
  at_start_ = true;
  drops_space_ = drops_space_ || trigger.takes_space_behind;
  if (trigger.takes_space_before) space_.clear();
  if (trigger.action == Action::kSilence) return;
  mode_ = trigger.action == Action::kReasoning ? Mode::kReasoning : Mode::kContent;
}

bool OutputParser::step_call(ParsedOutput& out) {
  const Match match = reader_->advance(std::string_view(buffer_).substr(call_at_), last_);
  if (match == Match::kPartial) return false;
  if (match == Match::kNone) {
    mode_ = Mode::kContent;
    wasted_bytes_ += reader_->num_read();
    append_text(std::string_view(buffer_).substr(0, rejected_), out);
    buffer_.erase(0, rejected_);
    return true;
  }
  out.calls.push_back(reader_->take());
  out.calls.back().content_before = out.content.size();
  buffer_.erase(0, call_at_ + reader_->end());
  space_.clear();
  drops_space_ = true;
  at_start_ = true;
  mode_ = Mode::kBetween;
  return true;
}

// Behind a call: another one, the end of the block, or text. What may still become a mark at the end is dropped.
bool OutputParser::step_between() {
  const ToolFormat& format = *format_.tools;
  const bool has_literal = call_->front().kind == Kind::kLiteral && visible(call_->front().text);
  bool incomplete = false;
  const auto behind = [&](const std::string& mark) {
    std::size_t end = 0;
    const Match match = visible(mark) ? match_mark(buffer_, mark, end) : Match::kNone;
    incomplete = incomplete || match == Match::kPartial;
    return match == Match::kFull ? end : 0;
  };
  const std::size_t close = behind(format.block_close);
  const std::size_t separator = behind(format.separator);
  std::size_t open = has_literal ? behind(call_->front().text) : 0;
  if (options_.held && !trimmed_left(buffer_).starts_with(trimmed(call_->front().text))) open = 0;
  if (incomplete && !last_) return false;
  if (incomplete && close + separator + open == 0) {
    buffer_.clear();
    return false;
  }
  buffer_.erase(0, close);
  const bool in_block = visible(format.block_open) && visible(format.block_close) && !has_literal;
  mode_ = close > 0 || (separator + open == 0 && !in_block) ? Mode::kContent : Mode::kCall;
  if (mode_ == Mode::kContent) return true;
  rejected_ = call_at_ = separator;
  reader_.emplace(format, *call_, options_.known, options_.held);
  return true;
}

// The white space at the end waits for what follows it.
void OutputParser::append_text(std::string_view text, ParsedOutput& out) {
  std::string& to = mode_ == Mode::kReasoning ? out.reasoning : out.content;
  if (drops_space_) text = trimmed_left(text);
  if (text.empty()) return;
  const std::string_view visible = trimmed_right(text);
  if (!visible.empty()) {
    to += space_;
    to += visible;
    space_.clear();
    drops_space_ = false;
  }
  space_ += text.substr(visible.size());
  if (space_.size() <= kMaxHeldSpaces) return;
  to.append(space_, 0, space_.size() - kMaxHeldSpaces);
  space_.erase(0, space_.size() - kMaxHeldSpaces);
}

}  // namespace caudal
