// Filters on text. Each takes str(input), as Jinja's do.
#include <algorithm>

#include "coordinator/gateway/jinja/evaluator/evaluator.h"
#include "coordinator/gateway/jinja/evaluator/library.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/json.h"
#include "coordinator/gateway/jinja/value/text.h"

namespace caudal::jinja {
namespace {

template <std::string (*convert)(std::string_view)>
Value converted(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return convert(to_text(input, evaluator.budget()));
}

// Unlike str.title(): words begin after white space, '-' and opening brackets only.
std::string title_words(std::string_view text) {
  static constexpr std::string_view kSeparators = "-({[<";
  std::string out;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t here = at;
    const char32_t c = next_code_point(text, at);
    if (!is_space(c) && !(c < 0x80 && kSeparators.find(static_cast<char>(c)) != std::string_view::npos)) continue;
    out += capitalize(text.substr(begin, here - begin));
    out += text.substr(here, at - here);
    begin = at;
  }
  return out + capitalize(text.substr(begin));
}

Value trim(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"chars"});
  const Value text = to_text(input, evaluator.budget());
  return find_method(text, "strip")(evaluator, text, arguments);
}

// Puts `new` between all characters and at both ends, up to `limit` times: str.replace('', new).
std::string interleave(const std::string& text, const std::string& insert, std::int64_t limit) {
  std::string result;
  std::size_t at = 0;
  for (std::int64_t i = 0; i < limit || limit < 0; ++i) {
    result += insert;
    if (at == text.size()) return result;
    const std::size_t begin = at;
    next_code_point(text, at);
    result.append(text, begin, at - begin);
  }
  return result + text.substr(at);
}

Value replace(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"old", "new", "count"}, 2);
  const std::string text = to_text(input, evaluator.budget());
  const std::string old_part = to_text(*bound[0], evaluator.budget());
  const std::string new_part = to_text(*bound[1], evaluator.budget());
  const std::int64_t limit = bound[2] && !bound[2]->is_none() ? bound.integer(2, -1) : -1;
  const std::size_t num_found = old_part.empty() ? text.size() + 1 : occurrences(text, old_part);
  std::size_t inserted_bytes = 0;
  if (__builtin_mul_overflow(num_found, new_part.size(), &inserted_bytes)) inserted_bytes = SIZE_MAX;
  evaluator.budget().allocate(inserted_bytes);
  if (old_part.empty()) return interleave(text, new_part, limit);
  std::string result;
  std::size_t at = 0;
  for (std::int64_t i = 0; i < limit || limit < 0; ++i) {
    const std::size_t found = find_text(text, old_part, at);
    if (found == std::string::npos) break;
    result.append(text, at, found - at);
    result += new_part;
    at = found + old_part.size();
  }
  return result + text.substr(at);
}

Value string(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return to_text(input, evaluator.budget());
}

Value unchanged(Evaluator&, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return input;
}

Value escape(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {});
  std::string result;
  for (const char c : to_text(input, evaluator.budget())) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '\'':
        result += "&#39;";
        break;
      case '"':
        result += "&#34;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string spaces(const Value& width) {
  if (width.text()) return *width.text();
  const std::int64_t count = require_integer(width, "a width");
  return std::string(std::clamp<std::int64_t>(count, 0, 1000), ' ');
}

Value indent(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"width", "first", "blank"});
  const std::string margin = spaces(bound.value(0, 4));
  // The line end added here is what lets a last, empty line count as one.
  const Value text = require_text(input, "the input of indent") + "\n";
  const Value lines = find_method(text, "splitlines")(evaluator, text, Arguments());
  std::string result = bound.flag(1, false) ? margin : "";
  bool first = true;
  for (const Value& line : lines.as_sequence()->items) {
    if (!first) result += "\n";
    if (!first && (bound.flag(2, false) || !line.text()->empty())) result += margin;
    evaluator.budget().allocate(margin.size() + line.text()->size());
    result += *line.text();
    first = false;
  }
  return result;
}

Value join(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"d", "attribute"});
  const Value separator = bound.value(0, "");
  std::string result;
  bool first = true;
  for (const Value& item : iterate(input, evaluator.budget())) {
    if (!first) append_text(result, separator, evaluator.budget());
    first = false;
    const bool by_attribute = bound[1] && !bound[1]->is_none();
    append_text(result, by_attribute ? attribute_path(evaluator, item, *bound[1]) : item, evaluator.budget());
  }
  return result;
}

Value format(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const std::string text = to_text(input, evaluator.budget());
  if (!arguments.positional.empty() && !arguments.named.empty()) fail("format takes arguments of one kind");
  if (arguments.named.empty()) {
    return percent_format(text, Value::sequence(SequenceKind::kTuple, arguments.positional), evaluator.budget());
  }
  std::vector<std::pair<Value, Value>> entries;
  entries.reserve(arguments.named.size());
  for (const auto& [name, value] : arguments.named) entries.emplace_back(Value(name), value);
  return percent_format(text, Value::dict(std::move(entries)), evaluator.budget());
}

// The signature is the one transformers gives this filter.
Value tojson(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ascii_only = bound.flag(0, false);
  style.sort_keys = bound.flag(3, false);
  if (bound[1] && !bound[1]->is_none()) {
    style.indent = spaces(*bound[1]);
    style.item_separator = ",";
  }
  if (bound[2] && !bound[2]->is_none()) {
    const std::vector<Value> separators = iterate(*bound[2], evaluator.budget());
    if (separators.size() != 2) fail("tojson needs two separators");
    style.item_separator = require_text(separators[0], "a separator");
    style.key_separator = require_text(separators[1], "a separator");
    evaluator.budget().output(style.item_separator.size() + style.key_separator.size());
  }
  return to_json(input, style, evaluator.budget());
}

Value wordcount(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {});
  const std::string text = to_text(input, evaluator.budget());
  std::int64_t words = 0;
  bool inside = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    const bool word = is_letter(c) || is_digit(c) || c == '_';
    words += word && !inside ? 1 : 0;
    inside = word;
  }
  return words;
}

constexpr NamedFunction kTextFilters[] = {
    {"upper", converted<to_upper>},
    {"lower", converted<to_lower>},
    {"capitalize", converted<capitalize>},
    {"title", converted<title_words>},
    {"trim", trim},
    {"replace", replace},
    {"string", string},
    {"safe", unchanged},
    {"escape", escape},
    {"e", escape},
    {"indent", indent},
    {"join", join},
    {"format", format},
    {"tojson", tojson},
    {"wordcount", wordcount},
};

}  // namespace

std::span<const NamedFunction> text_filters() { return kTextFilters; }

}  // namespace caudal::jinja
