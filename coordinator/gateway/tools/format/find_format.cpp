#include "coordinator/gateway/tools/format/find_format.h"

#include <array>
#include <boost/json/array.hpp>
#include <utility>

#include "coordinator/gateway/tools/format/atoms.h"
#include "coordinator/gateway/tools/format/find_calls.h"
#include "coordinator/gateway/tools/format/known_formats.h"
#include "coordinator/gateway/tools/format/probe.h"

namespace caudal {
namespace {

// With what the text ends that opens reasoning: its last mark and the words behind it, and a mark and a word right in
// front of it.
std::string_view last_mark(std::string_view text) {
  const auto atoms = atoms_of(text);
  std::size_t at = atoms.size();
  while (at > 0 && !is_mark(atoms[at - 1])) --at;
  if (at == 0) return {};
  std::size_t first = at - 1;
  const bool wrapped = first >= 2 && is_mark(atoms[first - 2]) && !is_mark(atoms[first - 1]) &&
                       trimmed(atoms[first - 1]) == atoms[first - 1];
  if (wrapped) first -= 2;
  std::size_t offset = 0;
  for (std::size_t i = 0; i < first; ++i) offset += atoms[i].size();
  return trimmed(text.substr(offset));
}

std::string_view first_mark(std::string_view text) {
  for (const std::string_view atom : atoms_of(text)) {
    if (is_mark(atom)) return atom;
  }
  return {};
}

// What the model itself writes in front of its reasoning, or else what the prompt ends with.
std::string opening_mark(std::string_view in_front, std::string_view opening) {
  if (in_front.starts_with(opening) && !trimmed(in_front.substr(opening.size())).empty()) {
    return std::string(trimmed(in_front.substr(opening.size())));
  }
  const std::string_view rest = opening.substr(shared_prefix(opening, in_front).size());
  const bool goes_on = trimmed(shared_prefix(in_front, opening)) == trimmed(in_front) && first_mark(rest).empty();
  return std::string(last_mark(goes_on ? opening : in_front));
}

struct Turn {
  std::string in_front;  // of the first word that was looked for
  std::string between;   // it and the second
  std::string behind;
};

std::optional<Turn> split(const std::optional<std::string>& text, std::string_view first, std::string_view second) {
  const std::size_t one = text ? text->find(first) : std::string::npos;
  const std::size_t two = one == std::string::npos ? one : text->find(second, one + first.size());
  if (two == std::string::npos) return std::nullopt;
  const std::size_t from = one + first.size();
  return Turn{text->substr(0, one), text->substr(from, two - from), text->substr(two + second.size())};
}

// Up to its last mark, with the word that stands right behind it.
std::string_view up_to_mark(std::string_view text) {
  const auto atoms = atoms_of(text);
  std::size_t length = 0, kept = 0;
  for (std::size_t i = 0; i < atoms.size(); ++i) {
    length += atoms[i].size();
    const bool word = i > 0 && is_mark(atoms[i - 1]) && trimmed(atoms[i]) == atoms[i];
    if (is_mark(atoms[i]) || word) kept = length;
  }
  return kept == 0 ? text : text.substr(0, kept);
}

// From an answer with reasoning and content, and from one with reasoning and a call; one may be missing.
std::optional<ReasoningFormat> find_reasoning(const RenderChat& render, const std::optional<Turn>& answer) {
  const std::optional<BeforeCall> call = reasoning_before_call(render);
  const std::string opening = turn_opening(render, true);
  std::string_view close = answer ? std::string_view(answer->between) : std::string_view();
  if (answer && call && !shared_prefix(close, call->between).empty()) close = shared_prefix(close, call->between);
  if (!answer && call) close = first_mark(call->between);
  if (trimmed(close).empty()) return std::nullopt;
  const std::string& in_front = answer ? answer->in_front : call->in_front;
  return ReasoningFormat{opening_mark(in_front, opening), std::string(trimmed(up_to_mark(close)))};
}

// A template that drops the reasoning of earlier turns may still name its marks.
std::optional<ReasoningFormat> named_reasoning(std::string_view source, const RenderChat& render) {
  const std::string opening = turn_opening(render, true);
  for (const ReasoningFormat& known : known_reasoning_marks()) {
    if (source.find(known.close) != std::string_view::npos || opening.find(known.open) != std::string::npos)
      return known;
  }
  return std::nullopt;
}

void add_silent(std::string_view mark, OutputFormat& format) {
  if (!trimmed(mark).empty()) format.silent.emplace_back(mark);
}

// Marks around content: in front of it where the turn is open, or behind reasoning; and at its end.
void find_silent(const RenderChat& render, const std::optional<Turn>& answer, OutputFormat& format) {
  const auto plain = split(render_turn(render, probe::answer(probe::kContent, ""), false), probe::kContent, "");
  const std::string opening = turn_opening(render, false);
  if (plain) {
    const std::string_view in_front = plain->in_front;
    const std::string_view mark = in_front.substr(shared_prefix(in_front, opening).size());
    const bool reasons = format.reasoning && mark.find(format.reasoning->close) != std::string_view::npos;
    if (!reasons) add_silent(mark, format);
    if (!reasons) format.content_open = trimmed(mark);
  }
  if (answer && format.reasoning) {
    const std::size_t close = answer->between.find(format.reasoning->close);
    if (close != std::string::npos) add_silent(answer->between.substr(close + format.reasoning->close.size()), format);
  }
  if (!plain) return;
  // The last mark ends the sequence and is no text.
  const std::string_view end = trimmed(plain->behind);
  const auto atoms = atoms_of(end);
  if (atoms.empty() || !is_mark(atoms.front())) return;
  add_silent(end, format);
  if (is_mark(atoms.back())) add_silent(end.substr(0, end.size() - atoms.back().size()), format);
}

void add_harmony_channels(OutputFormat& format) {
  for (const char* mark : {"<|channel|>commentary<|message|>", "<|channel|>final<|message|>",
                           "<|end|><|start|>assistant", "<|start|>assistant", "<|end|>"}) {
    format.silent.emplace_back(mark);
  }
}

}  // namespace

bool tells_tools(const RenderChat& render) {
  const boost::json::array tools = probe::tools();
  const auto text = render({probe::question(), &tools, true, false});
  return text && text->find(probe::kNames[0]) != std::string::npos;
}

OutputFormat find_format(std::string_view source, const RenderChat& render) {
  OutputFormat format;
  const auto answer = split(render_turn(render, probe::answer(probe::kContent, probe::kReasoning), true),
                            probe::kReasoning, probe::kContent);
  format.reasoning = find_reasoning(render, answer);
  if (!format.reasoning) format.reasoning = named_reasoning(source, render);
  find_silent(render, answer, format);
  const MarksInFront in_front{format.reasoning ? format.reasoning->close : "", format.silent};
  format.tools = find_calls(render, in_front);
  if (format.tools && !format.tools->other_calls.empty()) add_harmony_channels(format);
  format.told = tells_tools(render);
  if (!format.tools && format.told) format.tools = guessed_tool_format(source);
  return format;
}

}  // namespace caudal
