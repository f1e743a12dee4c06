#include "coordinator/gateway/tools/format/find_calls.h"

#include <boost/json/array.hpp>

#include "coordinator/gateway/tools/format/atoms.h"
#include "coordinator/gateway/tools/format/locate_call.h"
#include "coordinator/gateway/tools/format/probe.h"

namespace caudal {
namespace {

using Kind = CallElement::Kind;
constexpr char kAnything = '\x01';  // in the place of what is another one in each call

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

std::string without_prefix(std::string_view text, std::string_view prefix) {
  return std::string(text.substr(prefix.size()));
}

std::string without_suffix(std::string_view text, std::string_view suffix) {
  return std::string(text.substr(0, text.size() - suffix.size()));
}

// A text with kAnything in places -> elements.
void add_literals(std::string_view text, std::vector<CallElement>& elements) {
  for (bool first = true;; first = false) {
    const std::size_t end = std::min(text.find(kAnything), text.size());
    const std::string_view literal = text.substr(0, end);
    if (!first) elements.push_back({Kind::kSkip});
    if (!trimmed(literal).empty()) elements.push_back({Kind::kLiteral, std::string(literal)});
    if (end == text.size()) return;
    text.remove_prefix(end + 1);
  }
}

// Two texts that should be the same -> what they share, with kAnything for the rest.
std::string merged(std::string_view text, std::string_view other) {
  if (text == other) return std::string(text);
  const std::string_view front = shared_prefix(text, other);
  const std::string_view back = shared_suffix(text.substr(front.size()), other.substr(front.size()));
  return std::string(front) + kAnything + std::string(back);
}

std::optional<std::string> render_calls(const RenderChat& render, std::size_t num_calls, probe::CallStyle style) {
  std::optional<std::string> text = render_turn(render, probe::calls(num_calls, style), false);
  if (!text || style.ids == probe::Ids::kWithName) return text;
  for (std::size_t i = 0; i < num_calls; ++i)
    replace_all(*text, probe::call_id(i, style.ids), std::string(1, kAnything));
  return text;
}

// The ids and the form of arguments with which the template prints a call.
struct Rendered {
  probe::CallStyle style;
  std::string text;
  LocatedCall call;
};

std::optional<Rendered> render_one(const RenderChat& render) {
  for (const probe::Ids ids : {probe::Ids::kLong, probe::Ids::kNine, probe::Ids::kWithName}) {
    for (const bool as_text : {false, true}) {
      const probe::CallStyle style{ids, as_text};
      const std::optional<std::string> text = render_calls(render, 1, style);
      if (!text) continue;
      if (auto call = locate_call(*text, 0)) return Rendered{style, *text, std::move(*call)};
    }
  }
  return std::nullopt;
}

// What stands in front of the first call: without what opens the turn, and without empty reasoning or content.
std::string in_front_of(const Rendered& one, const RenderChat& render, const MarksInFront& in_front) {
  std::string before = one.text.substr(0, one.call.begin);
  replace_all(before, probe::kNames[0], std::string(1, kAnything));
  before = without_prefix(before, shared_prefix(before, turn_opening(render, false)));
  std::vector<std::string> marks = in_front.silent;
  marks.push_back(in_front.reasoning_close);
  for (const std::string& mark : marks) {
    const std::string_view text = trimmed(mark);
    const std::size_t found = text.empty() ? std::string::npos : before.rfind(text);
    if (found != std::string::npos) before.erase(0, found + text.size());
  }
  return before;
}

// What ends the turn, whether there are calls or not.
std::string turn_end(std::string_view behind_call, const RenderChat& render) {
  const auto plain = render_turn(render, probe::answer(probe::kContent, ""), false);
  const std::size_t found = plain ? plain->rfind(probe::kContent) : std::string::npos;
  if (found == std::string::npos) return "";
  return std::string(shared_suffix(behind_call, plain->substr(found + probe::kContent.size())));
}

// Whether the turn's end begins with what also ends the mark in front of the calls: then it ends their last mark, too.
bool closes_marks(std::string_view block_open, std::string_view end) {
  const auto open = atoms_of(trimmed(block_open)), close = atoms_of(trimmed(end));
  return !open.empty() && !close.empty() && is_mark(close.front()) && open.back() == close.front();
}

void set_call(std::string_view open, std::string_view between, std::string_view close, Kind arguments,
              ToolFormat& format) {
  add_literals(open, format.call);
  if (arguments != Kind::kObject) {
    format.call.push_back({Kind::kName});
    add_literals(between, format.call);
  }
  format.call.push_back({arguments});
  add_literals(close, format.call);
}

ToolFormat format_of(const Rendered& one) {
  ToolFormat format;
  format.object = one.call.object;
  format.parameters = one.call.parameters;
  format.loose = one.call.loose;
  format.arguments_as_text = one.style.arguments_as_text;
  if (one.style.ids == probe::Ids::kNine) format.ids = ToolFormat::Ids::kNineCharacters;
  if (one.style.ids == probe::Ids::kWithName) format.ids = ToolFormat::Ids::kWithName;
  return format;
}

// gpt-oss's template prints the recipient of a call with the role; the model writes it with the channel just as often,
// and more channels than the template prints.
bool is_harmony(const ToolFormat& format) {
  return format.call.size() > 2 && trimmed(format.call.front().text) == "to=functions.";
}

// As Kimi's: functions.NAME:NUMBER.
bool ids_hold_names(const ToolFormat& format) {
  for (std::size_t i = 1; i + 1 < format.call.size(); ++i) {
    if (format.call[i].kind != Kind::kName) continue;
    return format.call[i - 1].text.ends_with("functions.") && format.call[i + 1].text == ":";
  }
  return false;
}

void add_harmony(ToolFormat& format) {
  const auto call = [](const char* open) {
    return std::vector<CallElement>{
        {Kind::kLiteral, open},          {Kind::kName}, {Kind::kSkip, "<|channel|>commentary json"},
        {Kind::kLiteral, "<|message|>"}, {Kind::kJson}, {Kind::kLiteral, "<|call|>"}};
  };
  format.call = call("to=functions.");
  format.other_calls = {call("<|channel|>commentary to=functions."), call("<|channel|>analysis to=functions.")};
}

}  // namespace

std::optional<std::string> render_turn(const RenderChat& render, const boost::json::array& messages, bool thinks) {
  const boost::json::array tools = probe::tools();
  std::optional<std::string> text = render({messages, &tools, false, thinks});
  if (!text) return std::nullopt;
  const std::size_t user = text->rfind(probe::kUser);
  if (user == std::string::npos) return std::nullopt;
  return text->substr(user + probe::kUser.size());
}

std::string turn_opening(const RenderChat& render, bool thinks) {
  const boost::json::array tools = probe::tools();
  const std::optional<std::string> text = render({probe::question(), &tools, true, thinks});
  const std::size_t user = text ? text->rfind(probe::kUser) : std::string::npos;
  return user == std::string::npos ? "" : text->substr(user + probe::kUser.size());
}

std::optional<BeforeCall> reasoning_before_call(const RenderChat& render) {
  const std::optional<Rendered> one = render_one(render);
  if (!one) return std::nullopt;
  const auto text = render_turn(render, probe::calls(1, one->style, probe::kReasoning), true);
  const std::size_t reasoning = text ? text->find(probe::kReasoning) : std::string::npos;
  const std::optional<LocatedCall> call = text ? locate_call(*text, 0) : std::nullopt;
  if (!call || reasoning == std::string::npos || call->begin < reasoning) return std::nullopt;
  const std::size_t from = reasoning + probe::kReasoning.size();
  return BeforeCall{text->substr(0, reasoning), text->substr(from, call->begin - from)};
}

std::optional<ToolFormat> find_calls(const RenderChat& render, const MarksInFront& in_front) {
  const std::optional<Rendered> one = render_one(render);
  if (!one) return std::nullopt;
  ToolFormat format = format_of(*one);
  const std::string before = in_front_of(*one, render, in_front);
  const std::string_view behind = std::string_view(one->text).substr(one->call.end);
  const std::string end = turn_end(behind, render);
  const std::string rest = without_suffix(behind, end);
  const std::optional<std::string> two = render_calls(render, 2, one->style);
  const std::optional<LocatedCall> first = two ? locate_call(*two, 0) : std::nullopt;
  // The second call has one argument only, from which the form of several cannot be seen: its place is enough.
  const std::size_t name = first ? two->find(probe::kNames[1], first->end) : std::string::npos;
  format.several = name != std::string::npos;
  if (!format.several) {
    set_call(before, one->call.between, rest, one->call.arguments, format);
  } else {
    const std::size_t key = two->find(probe::kArguments[0].key, name);
    std::size_t second = key == std::string::npos ? name : two->rfind(probe::kNames[1], key);
    std::string between_names;
    if (one->call.arguments == Kind::kObject) {
      const auto object = locate_call(std::string_view(*two).substr(first->end), 1);
      if (object) second = first->end + object->begin;
    } else {
      const std::size_t from = second + probe::kNames[1].size();
      between_names = two->substr(from, std::min(one->call.between.size(), two->size() - from));
    }
    std::string between = two->substr(first->end, second - first->end);
    replace_all(between, probe::kNames[1], std::string(1, kAnything));
    const std::string close(shared_prefix(between, rest));
    const std::string behind_close = without_prefix(between, close);
    const std::string open(shared_suffix(before, behind_close));
    format.separator = without_suffix(behind_close, open);
    format.block_open = without_suffix(before, open);
    format.block_close = without_prefix(rest, close);
    if (closes_marks(format.block_open, end)) format.block_close += end;
    set_call(open, merged(one->call.between, between_names), close, one->call.arguments, format);
  }
  if (is_harmony(format)) add_harmony(format);
  if (ids_hold_names(format)) format.ids = ToolFormat::Ids::kWithName;
  return format;
}

}  // namespace caudal
