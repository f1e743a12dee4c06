#include "coordinator/gateway/tools/call_reader.h"

#include <algorithm>

#include "common/json/strict_json.h"
#include "coordinator/gateway/tools/format/atoms.h"
#include "coordinator/gateway/tools/format/values.h"

namespace caudal {
namespace {

using Kind = CallElement::Kind;

constexpr std::size_t kMaxNameBytes = 256;
constexpr std::size_t kMaxMarkSpaces = 64;  // before each character of a mark; what is looked at again stays short

bool is_name(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') || c == '_' || c == '-' ||
         c == '.' || byte >= 0x80;
}

// The first word of a mark, which nothing in front of it can hold.
std::string_view first_word(std::string_view mark) {
  const std::string_view text = trimmed_left(mark);
  return text.substr(0, std::min(text.find_first_of(kSpaces), text.size()));
}

// One line break, or one space, as the format has it around values.
std::string_view without_space(std::string_view value, std::string_view space) {
  if (space.empty()) return value;
  if (value.starts_with(space)) value.remove_prefix(space.size());
  if (value.ends_with(space)) value.remove_suffix(space.size());
  return value;
}

// XML's quotes around text that would be marks.
std::string_view without_cdata(std::string_view value) {
  constexpr std::string_view kOpen = "<![CDATA[", kClose = "]]>";
  const bool quoted =
      value.size() >= kOpen.size() + kClose.size() && value.starts_with(kOpen) && value.ends_with(kClose);
  return quoted ? value.substr(kOpen.size(), value.size() - kOpen.size() - kClose.size()) : value;
}

}  // namespace

Match match_mark(std::string_view text, std::string_view mark, std::size_t& end) {
  std::size_t at = 0;
  for (const char c : mark) {
    if (is_space(c)) continue;
    const std::size_t spaces_end = at + kMaxMarkSpaces;
    while (at < text.size() && is_space(text[at])) {
      if (at == spaces_end) return Match::kNone;
      ++at;
    }
    if (at == text.size()) return Match::kPartial;
    if (text[at++] != c) return Match::kNone;
  }
  end = at;
  return Match::kFull;
}

CallReader::CallReader(const ToolFormat& format, const std::vector<CallElement>& call, std::span<const KnownTool> tools,
                       bool held)
    : format_(format), elements_(call), tools_(tools), held_(held) {}

bool CallReader::arguments_done() const {
  return std::all_of(elements_.begin() + static_cast<std::ptrdiff_t>(element_), elements_.end(),
                     [](const CallElement& each) { return each.kind == Kind::kLiteral; });
}

Match CallReader::advance(std::string_view text, bool last) {
  while (element_ < elements_.size()) {
    const Match match = step(text, last);
    if (match == Match::kPartial && last && arguments_done()) {
      position_ = text.size();
      element_ = elements_.size();
      return Match::kFull;
    }
    if (match != Match::kFull) return match == Match::kPartial && last ? Match::kNone : match;
    ++element_;
  }
  return Match::kFull;
}

Match CallReader::step(std::string_view text, bool last) {
  switch (elements_[element_].kind) {
    case Kind::kLiteral:
      return literal(text, last);
    case Kind::kName:
      return name(text, last);
    case Kind::kSkip:
      return skip(text, last);
    case Kind::kObject:
    case Kind::kJson:
    case Kind::kLoose:
      return balanced(text, last);
    case Kind::kParameters:
      return parameters(text, last);
  }
  return Match::kNone;
}

Match CallReader::literal(std::string_view text, bool) {
  std::size_t end = 0;
  const Match match = match_mark(text.substr(position_), elements_[element_].text, end);
  if (match == Match::kFull) position_ += end;
  return match;
}

Match CallReader::name(std::string_view text, bool last) {
  std::string_view rest = text.substr(position_);
  const std::size_t spaces = rest.size() - trimmed_left(rest).size();
  if (spaces > kMaxMarkSpaces) return Match::kNone;
  rest.remove_prefix(spaces);
  std::size_t length = 0;
  while (length < rest.size() && is_name(rest[length])) ++length;
  if (length > kMaxNameBytes) return Match::kNone;
  if (length == rest.size() && !last) return Match::kPartial;
  call_.name = std::string(rest.substr(0, length));
  if (length == 0 || (format_.bare() && !has_known_name())) return Match::kNone;
  position_ += spaces + length;
  return Match::kFull;
}

Match CallReader::skip(std::string_view text, bool last) {
  const std::string_view rest = text.substr(position_);
  const bool to_literal = element_ + 1 < elements_.size() && elements_[element_ + 1].kind == Kind::kLiteral;
  const std::string_view stop = to_literal ? first_word(elements_[element_ + 1].text) : std::string_view("{");
  const std::size_t found = rest.find(stop);
  if (found == std::string_view::npos) {
    return last || rest.size() > kMaxNameBytes + stop.size() ? Match::kNone : Match::kPartial;
  }
  if (found > kMaxNameBytes) return Match::kNone;
  position_ += found;
  return Match::kFull;
}

// A JSON object, or the arguments in brackets of another language.
Match CallReader::balanced(std::string_view text, bool last) {
  const bool loose = elements_[element_].kind == Kind::kLoose;
  if (!balance_) {
    while (position_ < text.size() && is_space(text[position_])) ++position_;
    if (position_ == text.size()) return Match::kPartial;
    if (text[position_] != (loose ? format_.loose.open : '{')) return Match::kNone;
    std::vector<std::string> quotes{"\""};
    if (loose && format_.loose.quote.size() > 1) quotes = {format_.loose.quote};
    if (loose && format_.loose.quote.size() == 1) quotes = {"\"", "'"};
    balance_.emplace(std::move(quotes));
  }
  const std::string_view rest = text.substr(position_);
  const bool object = elements_[element_].kind == Kind::kObject;
  if (object && format_.bare() && !may_be_call(rest)) return Match::kNone;
  switch (balance_->advance(rest, last)) {
    case Balance::State::kOpen:
      return Match::kPartial;
    case Balance::State::kBroken:
      return Match::kNone;
    case Balance::State::kClosed:
      break;
  }
  if (!take_balanced(rest.substr(0, balance_->end()))) return Match::kNone;
  position_ += balance_->end();
  return Match::kFull;
}

bool CallReader::take_balanced(std::string_view value) {
  if (elements_[element_].kind == Kind::kObject) return take_object(value);
  if (elements_[element_].kind == Kind::kJson) {
    call_.arguments = std::string(value);
    return is_json_object(value);
  }
  return take_loose(value.substr(1, value.size() - 2));
}

// Some models quote every value: one that may be no string is what its text says.
bool CallReader::take_loose(std::string_view value) {
  const std::optional<std::string> arguments = loose_arguments(value, format_.loose);
  const auto members = arguments ? json_members(*arguments) : std::nullopt;
  if (!members) return false;
  std::string out = "{";
  for (const auto& [key, written] : *members) {
    if (out.size() > 1) out += ',';
    append_json_string(out, key);
    out += ':';
    const bool other = known() != nullptr && known()->type_of(key) == KnownTool::Type::kOther;
    const std::optional<std::string> text = other ? json_string(written) : std::nullopt;
    const std::optional<std::string> meant = text ? value_of_text(*text) : std::nullopt;
    out += meant ? *meant : std::string(written);
  }
  call_.arguments = out + "}";
  return true;
}

// Whether the first key of an object, as far as it has come, can be one of a call.
bool CallReader::may_be_call(std::string_view object) const {
  if (held_ && !format_.object.name_key.empty()) {
    return std::ranges::any_of(format_.object_openings(), [&](const std::string& opening) {
      return object.starts_with(opening) || opening.starts_with(object);
    });
  }
  const std::string_view key = trimmed_left(object.substr(1));
  if (object.size() - key.size() > kMaxMarkSpaces + 1) return false;
  if (format_.object.name_key.empty()) return true;
  for (const std::string_view known :
       {std::string_view(format_.object.name_key), std::string_view("name"), std::string_view("type"),
        std::string_view("id"), std::string_view(format_.object.arguments_key), std::string_view("arguments"),
        std::string_view("parameters")}) {
    const std::string quoted = '"' + std::string(known) + '"';
    const std::size_t size = std::min(key.size(), quoted.size());
    if (key.substr(0, size) == std::string_view(quoted).substr(0, size)) return true;
  }
  return false;
}

// Models that were taught with other keys keep to them now and then: arguments or parameters is the same.
bool CallReader::take_object(std::string_view object) {
  const auto members = json_members(object);
  if (!members) return false;
  const ObjectForm& form = format_.object;
  std::optional<std::string_view> arguments;
  for (const auto& [key, value] : *members) {
    if (form.name_key.empty()) {
      call_.name = key;
      arguments = value;
    } else if (key == form.name_key || key == "name") {
      call_.name = json_string(value).value_or("");
    } else if (key == form.arguments_key || key == "arguments" || key == "parameters") {
      arguments = value;
    }
  }
  if (call_.name.empty() || (format_.bare() && (!arguments || !has_known_name()))) return false;
  if (!arguments || *arguments == "null") return true;
  const std::optional<std::string> text = json_string(*arguments);  // JSON text in a string, as clients get it
  call_.arguments = text ? *text : std::string(*arguments);
  return is_json_object(call_.arguments);
}

std::string CallReader::closing_mark() const {
  std::string mark = format_.parameters.close;
  if (format_.parameters.close_has_key) mark.insert(format_.parameters.key_in_close, *key_);
  return std::string(trimmed(mark));
}

// Parameters, until what follows them is found.
Match CallReader::parameters(std::string_view text, bool last) {
  for (;;) {
    if (!key_) {
      std::size_t end = 0;
      const std::string_view rest = text.substr(position_);
      const bool has_next = element_ + 1 < elements_.size();
      const Match next = has_next ? match_mark(rest, elements_[element_ + 1].text, end) : Match::kFull;
      if (next == Match::kFull && has_next) break;
      const Match open = match_mark(rest, format_.parameters.open, end);
      if (next == Match::kPartial && !last) return Match::kPartial;
      if (open == Match::kNone && !has_next) break;
      if (open != Match::kFull) return open;
    }
    const Match match = parameter(text, last);
    if (match != Match::kFull) return match;
  }
  if (opened_) call_.arguments += '}';
  return Match::kFull;
}

// <open>KEY<key_close>: sets the key.
Match CallReader::parameter_key(std::string_view text, bool last) {
  const ParameterForm& form = format_.parameters;
  std::size_t open = 0;
  const std::string_view rest = text.substr(position_);
  if (const Match match = match_mark(rest, form.open, open); match != Match::kFull) return match;
  const std::string_view behind = rest.substr(open);
  std::size_t best = std::string_view::npos, best_end = 0;
  std::size_t first_partial = std::string_view::npos;
  for (const std::string& close : form.key_closes) {
    const std::string_view word = first_word(close);
    const std::size_t at = behind.find(word);
    if (at == std::string_view::npos && behind.size() <= kMaxNameBytes + word.size()) first_partial = behind.size();
    if (at > kMaxNameBytes || at >= best) continue;
    std::size_t end = 0;
    const Match match = match_mark(behind.substr(at), close, end);
    if (match == Match::kPartial) first_partial = std::min(first_partial, at);
    if (match != Match::kFull) continue;
    best = at;
    best_end = at + end;
    key_of_text_ = &close == &form.key_closes.front();
  }
  if (best == std::string_view::npos) {
    return first_partial == std::string_view::npos || last ? Match::kNone : Match::kPartial;
  }
  if (first_partial < best && !last) return Match::kPartial;
  position_ += open + best_end;
  searched_ = 0;
  key_ = std::string(trimmed(behind.substr(0, best)));
  return key_->empty() ? Match::kNone : Match::kFull;
}

Match CallReader::parameter(std::string_view text, bool last) {
  if (!key_) {
    if (const Match match = parameter_key(text, last); match != Match::kFull) return match;
  }
  const std::string close = closing_mark();
  const std::string_view rest = text.substr(position_);
  const std::size_t found = rest.find(close, searched_);
  if (found == std::string_view::npos) {
    searched_ = rest.size() < close.size() ? 0 : rest.size() - close.size() + 1;
    return Match::kPartial;
  }
  take_parameter(without_space(rest.substr(0, found), format_.parameters.value_space));
  position_ += found + close.size();
  key_.reset();
  return Match::kFull;
}

void CallReader::take_parameter(std::string_view value) {
  std::string& out = call_.arguments;
  out = opened_ ? out + "," : "{";
  opened_ = true;
  append_json_string(out, *key_);
  out += ':';
  const bool told = format_.parameters.key_closes.size() > 1;
  const bool typed_text = known() != nullptr && known()->type_of(*key_) == KnownTool::Type::kText;
  const bool text = told ? key_of_text_ : typed_text;
  if (const std::optional<std::string> meant = text ? std::nullopt : value_of_text(value)) {
    out += *meant;
  } else {
    append_json_string(out, without_cdata(value));
  }
}

const KnownTool* CallReader::known() const {
  const auto tool = std::ranges::find(tools_, call_.name, &KnownTool::name);
  return tool == tools_.end() ? nullptr : &*tool;
}

}  // namespace caudal
