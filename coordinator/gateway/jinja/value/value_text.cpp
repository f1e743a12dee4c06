// Python's str() and repr(): what `{{ ... }}` prints. Charges the budget as it writes, since a small
// value that holds the same list many times over can print very long.
#include <charconv>
#include <cmath>

#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/text.h"
#include "coordinator/gateway/jinja/value/value.h"

namespace caudal::jinja {
namespace {

void append_escape(std::string& out, char32_t c) {
  switch (c) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  out += c <= 0xFF ? "\\x" : c <= 0xFFFF ? "\\u" : "\\U";
  append_hex(out, c, c <= 0xFF ? 2 : c <= 0xFFFF ? 4 : 8);
}

void append_quoted(std::string& out, const std::string& text) {
  const bool use_double = text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
  const char quote = use_double ? '"' : '\'';
  out += quote;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(text, at);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (is_printable(c)) {
      out.append(text, begin, at - begin);
    } else {
      append_escape(out, c);
    }
  }
  out += quote;
}

void append_items(std::string& out, const std::vector<Value>& items, Budget& budget) {
  const char* separator = "";
  for (const Value& item : items) {
    out += separator;
    append_repr(out, item, budget);
    separator = ", ";
  }
}

void append_range(std::string& out, const std::vector<Value>& items) {
  const std::int64_t start = items.empty() ? 0 : items.front().integer();
  const std::int64_t step = items.size() < 2 ? 1 : items[1].integer() - start;
  const std::int64_t stop = items.empty() ? 0 : items.back().integer() + step;
  out += "range(" + std::to_string(start) + ", " + std::to_string(stop);
  out += step == 1 ? ")" : ", " + std::to_string(step) + ")";
}

void append_sequence(std::string& out, const Sequence& sequence, Budget& budget) {
  switch (sequence.kind) {
    case SequenceKind::kRange:
      append_range(out, sequence.items);
      return;
    case SequenceKind::kGenerator:
      out += "<generator object>";
      return;
    case SequenceKind::kTuple:
      out += '(';
      append_items(out, sequence.items, budget);
      out += sequence.items.size() == 1 ? ",)" : ")";
      return;
    case SequenceKind::kList:
      out += '[';
      break;
    case SequenceKind::kKeysView:
      out += "dict_keys([";
      break;
    case SequenceKind::kValuesView:
      out += "dict_values([";
      break;
    case SequenceKind::kItemsView:
      out += "dict_items([";
      break;
  }
  append_items(out, sequence.items, budget);
  out += sequence.kind == SequenceKind::kList ? "]" : "])";
}

void append_dict(std::string& out, const Dict& dict, Budget& budget) {
  out += '{';
  const char* separator = "";
  for (const auto& [key, item] : dict.entries) {
    out += separator;
    append_repr(out, key, budget);
    out += ": ";
    append_repr(out, item, budget);
    separator = ", ";
  }
  out += '}';
}

}  // namespace

// The shortest digits that read back as the same number, laid out as Python's repr(float).
std::string number_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  char buffer[400];
  const double size = std::fabs(number);
  const bool scientific = size != 0.0 && (size < 1e-4 || size >= 1e16);
  const auto format = scientific ? std::chars_format::scientific : std::chars_format::fixed;
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number, format).ptr;
  std::string text(buffer, end);
  if (!scientific && text.find('.') == std::string::npos) text += ".0";
  return text;
}

void append_repr(std::string& out, const Value& value, Budget& budget) {
  budget.step();
  budget.output(out.size());
  if (const std::string* text = value.text()) {
    budget.allocate(text->size());
    append_quoted(out, *text);
  } else if (value.is_undefined()) {
    out += "Undefined";
  } else if (value.is_none()) {
    out += "None";
  } else if (value.is<bool>()) {
    out += truthy(value) ? "True" : "False";
  } else if (value.is<std::int64_t>()) {
    out += std::to_string(value.integer());
  } else if (value.is<double>()) {
    out += number_text(value.real());
  } else if (const Sequence* sequence = value.as_sequence()) {
    append_sequence(out, *sequence, budget);
  } else if (const Dict* dict = value.as_dict()) {
    append_dict(out, *dict, budget);
  } else if (const Callable* callable = value.as_callable()) {
    out += callable->description();
  } else {
    out += "<Namespace>";
  }
}

void append_text(std::string& out, const Value& value, Budget& budget) {
  if (value.is_undefined()) return;
  const std::string* text = value.text();
  if (!text) return append_repr(out, value, budget);
  budget.allocate(text->size());
  budget.output(out.size() + text->size());
  out += *text;
}

std::string to_text(const Value& value, Budget& budget) {
  if (const std::string* text = value.text()) return *text;
  std::string out;
  append_text(out, value, budget);
  return out;
}

}  // namespace caudal::jinja
