#include "coordinator/gateway/tools/format/locate_call.h"

#include <algorithm>
#include <array>

#include "coordinator/gateway/tools/format/atoms.h"
#include "coordinator/gateway/tools/format/balance.h"
#include "coordinator/gateway/tools/format/probe.h"
#include "coordinator/gateway/tools/format/values.h"

namespace caudal {
namespace {

using Kind = CallElement::Kind;
constexpr std::size_t kNowhere = std::string_view::npos;

// Behind the brackets that open at `at`.
std::size_t closing(std::string_view text, std::size_t at, std::vector<std::string> quotes) {
  Balance balance(std::move(quotes));
  return balance.advance(text.substr(at), true) == Balance::State::kClosed ? at + balance.end() : kNowhere;
}

bool holds_arguments(std::string_view json) { return json.find(probe::kArguments[0].key) != kNowhere; }

// The keys of an object that is a whole call.
std::optional<ObjectForm> object_form(std::string_view object, std::string_view name) {
  const auto members = json_members(object);
  if (!members) return std::nullopt;
  ObjectForm form{.name_key = "", .arguments_key = ""};
  for (const auto& [key, value] : *members) {
    const std::optional<std::string> text = json_string(value);
    if (text == name) form.name_key = key;
    if (text == "\x01") form.id_key = key;
    if (holds_arguments(value)) form.arguments_key = key;
  }
  const bool named = !form.name_key.empty() && !form.arguments_key.empty();
  if (!named && (members->size() != 1 || form.arguments_key != name)) return std::nullopt;
  if (!named) form = {.name_key = "", .arguments_key = ""};
  return form;
}

// The smallest object that holds both, as the brackets in front of them say.
std::optional<LocatedCall> locate_object(std::string_view text, std::string_view name, std::size_t name_at,
                                         std::size_t key_at) {
  std::size_t open = text.rfind('{', std::min(name_at, key_at));
  for (int tries = 0; tries < 3 && open != kNowhere; ++tries) {
    const std::size_t end = closing(text, open, {"\""});
    if (end != kNowhere) {
      // A mark for an id is a control character, which JSON has in no string.
      std::string object(text.substr(open, end - open));
      for (std::size_t at = 0; (at = object.find('\x01', at)) != kNowhere; at += 6) object.replace(at, 1, "\\u0001");
      if (const auto form = object_form(object, name)) return LocatedCall{.begin = open, .end = end, .object = *form};
    }
    if (open == 0) break;
    open = text.rfind('{', open - 1);
  }
  return std::nullopt;
}

bool locate_json(std::string_view text, std::size_t from, std::size_t key_at, LocatedCall& call) {
  const std::size_t open = text.rfind('{', key_at);
  if (open == kNowhere || open < from) return false;
  const std::size_t end = closing(text, open, {"\""});
  if (end == kNowhere || !is_json_object(text.substr(open, end - open))) return false;
  call.arguments = Kind::kJson;
  call.between = text.substr(from, open - from);
  call.end = end;
  return true;
}

bool locate_loose(std::string_view text, std::size_t from, std::size_t key_at, LocatedCall& call) {
  const std::size_t key_end = key_at + probe::kArguments[0].key.size();
  const std::size_t value_at = text.find(probe::kArguments[0].begins, key_end);
  if (value_at == kNowhere || key_at == 0 || value_at - key_end > 16) return false;
  const std::string_view close = text.substr(key_end, value_at - key_end);
  const char open = text[key_at - 1];
  if ((open != '(' && open != '{') || close.empty() || (close.front() != '=' && close.front() != ':')) return false;
  const std::string_view quote = trimmed(close.substr(1));
  call.loose = {.quote = quote.empty() ? "\"" : std::string(quote), .key_close = close.front(), .open = open};
  if (quote == "'") call.loose.quote = "\"";
  std::vector<std::string> quotes{call.loose.quote};
  if (call.loose.quote.size() == 1) quotes.emplace_back("'");
  call.end = closing(text, key_at - 1, std::move(quotes));
  if (call.end == kNowhere) return false;
  call.arguments = Kind::kLoose;
  call.between = text.substr(from, key_at - 1 - from);
  return true;
}

// Where the value of an argument begins.
std::size_t value_begin(std::string_view text, std::size_t key_end, std::size_t index) {
  const probe::Argument& argument = probe::kArguments[index];
  const std::size_t found = text.find(argument.begins, key_end);
  if (found == kNowhere || index < 2) return found;
  if (index == 2) return found - 1;  // true, or True
  const std::size_t bracket = text.find(argument.json.front(), key_end);
  return bracket < found ? bracket : kNowhere;
}

void add_key_closes(std::string_view text, std::size_t key_at, ParameterForm& form) {
  for (std::size_t i = 0; i < probe::kArguments.size(); ++i) {
    key_at = text.find(probe::kArguments[i].key, key_at);
    if (key_at == kNowhere) return;
    key_at += probe::kArguments[i].key.size();
    const std::size_t value_at = value_begin(text, key_at, i);
    if (value_at == kNowhere) continue;
    const std::string_view close = text.substr(key_at, value_at - key_at);
    // One that only goes on where another ends is part of a value that is written with marks, too.
    const bool known = std::ranges::any_of(form.key_closes, [&](const auto& each) { return close.starts_with(each); });
    if (!known) form.key_closes.emplace_back(close);
  }
}

// What every value has around it, be it a line break.
void take_value_space(ParameterForm& form) {
  const auto ends_in_break = [](const std::string& close) { return close.ends_with('\n'); };
  if (std::ranges::all_of(form.key_closes, ends_in_break) && form.close.starts_with('\n')) form.value_space = "\n";
}

bool locate_parameters(std::string_view text, std::size_t from, std::size_t key_at, LocatedCall& call) {
  const probe::Argument& first = probe::kArguments[0];
  const std::size_t value_at = text.find(first.begins, key_at);
  if (value_at == kNowhere) return false;
  const std::size_t value_end = value_at + first.begins.size();
  const std::size_t second_at = text.find(probe::kArguments[1].key, value_end);
  ParameterForm& form = call.parameters;
  const std::string_view in_front = text.substr(from, key_at - from);
  if (second_at == kNowhere) return false;
  const std::string_view between = text.substr(value_end, second_at - value_end);
  form.open = shared_suffix(in_front, between);
  form.close = between.substr(0, between.size() - form.open.size());
  if (trimmed(form.open).empty() || trimmed(form.close).empty()) return false;
  add_key_closes(text, key_at, form);
  take_value_space(form);
  std::string last_close(trimmed(form.close));
  const std::string close(last_close);
  if (const std::size_t key = close.find(first.key); key != std::string::npos) {
    form.close_has_key = true;
    form.key_in_close = key;
    form.close = std::string(close).erase(key, first.key.size());
    last_close = std::string(form.close).insert(key, probe::kArguments.back().key);
  }
  const std::size_t last_at = text.find(probe::kArguments.back().begins, second_at);
  const std::size_t end = last_at == kNowhere ? kNowhere : text.find(last_close, last_at);
  if (end == kNowhere) return false;
  call.arguments = Kind::kParameters;
  call.between = in_front.substr(0, in_front.size() - form.open.size());
  call.end = end + last_close.size();
  return true;
}

}  // namespace

std::optional<LocatedCall> locate_call(std::string_view text, std::size_t index) {
  const std::string_view name = probe::kNames.at(index);
  const std::string_view key = probe::kArguments[0].key;
  const std::size_t name_at = text.find(name);
  if (name_at == kNowhere) return std::nullopt;
  // In front of the name only where an object has the arguments first; there the other call is further away.
  const std::size_t key_behind = text.find(key, name_at);
  for (const std::size_t key_at : {key_behind, text.rfind(key, name_at)}) {
    if (key_at == kNowhere) continue;
    if (auto call = locate_object(text, name, name_at, key_at)) return call;
  }
  if (key_behind == kNowhere) return std::nullopt;
  LocatedCall call{.begin = text.rfind(name, key_behind)};
  const std::size_t from = call.begin + name.size();
  if (locate_json(text, from, key_behind, call) || locate_loose(text, from, key_behind, call) ||
      locate_parameters(text, from, key_behind, call)) {
    return call;
  }
  return std::nullopt;
}

}  // namespace caudal
