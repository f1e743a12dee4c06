// Methods of strings, with Python's results.
#include <algorithm>

#include "coordinator/gateway/jinja/evaluator/evaluator.h"
#include "coordinator/gateway/jinja/evaluator/library.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/text.h"

namespace caudal::jinja {
namespace {

constexpr std::size_t kNone = std::string::npos;

// A search from the right compares up to the whole part at every position.
void charge_reverse_search(Budget& budget, std::string_view text, std::string_view part) {
  budget.work(text.size() * std::min<std::size_t>(part.size(), 4096));
}

const std::string& text_of(const Value& self) { return *self.text(); }

bool in_set(std::string_view characters, std::string_view set) { return find_text(set, characters) != kNone; }

std::string_view strip_set_left(std::string_view text, std::string_view set) {
  while (!text.empty()) {
    std::size_t next = 0;
    next_code_point(text, next);
    if (!in_set(text.substr(0, next), set)) break;
    text.remove_prefix(next);
  }
  return text;
}

std::string_view strip_set_right(std::string_view text, std::string_view set) {
  while (!text.empty()) {
    std::size_t last = text.size() - 1;
    while (last > 0 && (text[last] & 0xC0) == 0x80) --last;
    if (!in_set(text.substr(last), set)) break;
    text = text.substr(0, last);
  }
  return text;
}

template <bool left, bool right>
Value strip(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"chars"});
  std::string_view text = text_of(self);
  if (!bound[0] || bound[0]->is_none()) {
    if (left) text = strip_left(text);
    if (right) text = strip_right(text);
    return text;
  }
  const std::string& set = bound.text(0);
  evaluator.budget().work(std::min(text.size(), std::size_t{1} << 20) * std::min(set.size(), std::size_t{1} << 20));
  if (left) text = strip_set_left(text, set);
  if (right) text = strip_set_right(text, set);
  return text;
}

struct SplitArguments {
  const std::string* separator;  // null: runs of white space
  std::int64_t max_splits;       // negative: no limit
};

SplitArguments split_arguments(const Arguments& arguments) {
  const Bound bound(arguments, {"sep", "maxsplit"});
  const bool by_space = !bound[0] || bound[0]->is_none();
  SplitArguments result{by_space ? nullptr : &bound.text(0), bound.integer(1, -1)};
  if (result.separator && result.separator->empty()) fail("split(): the separator is empty");
  return result;
}

std::vector<Value> split_space(std::string_view text, std::int64_t max_splits) {
  std::vector<Value> parts;
  for (text = strip_left(text); !text.empty(); text = strip_left(text)) {
    if (max_splits >= 0 && static_cast<std::int64_t>(parts.size()) == max_splits) {
      parts.emplace_back(strip_right(text));
      break;
    }
    std::size_t end = 0;
    for (std::size_t next = 0; end < text.size() && !is_space(next_code_point(text, next)); end = next) {
    }
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return parts;
}

std::vector<Value> split_space_right(std::string_view text, std::int64_t max_splits) {
  std::vector<Value> parts;
  for (text = strip_right(text); !text.empty(); text = strip_right(text)) {
    if (max_splits >= 0 && static_cast<std::int64_t>(parts.size()) == max_splits) {
      parts.emplace_back(strip_left(text));
      break;
    }
    std::size_t begin = text.size();
    for (std::size_t last = begin; begin > 0; begin = last) {
      --last;
      while (last > 0 && (text[last] & 0xC0) == 0x80) --last;
      std::size_t next = last;
      if (is_space(next_code_point(text, next))) break;
    }
    parts.emplace_back(text.substr(begin));
    text = text.substr(0, begin);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

Value split(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const auto [separator, max_splits] = split_arguments(arguments);
  const std::string& text = text_of(self);
  evaluator.budget().allocate(text.size());
  if (!separator) return Value::list(split_space(text, max_splits));
  std::vector<Value> parts;
  std::size_t begin = 0;
  while (max_splits < 0 || static_cast<std::int64_t>(parts.size()) < max_splits) {
    const std::size_t end = find_text(text, *separator, begin);
    if (end == kNone) break;
    evaluator.budget().step();
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end + separator->size();
  }
  parts.emplace_back(text.substr(begin));
  return Value::list(std::move(parts));
}

Value rsplit(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const auto [separator, max_splits] = split_arguments(arguments);
  std::string_view text = text_of(self);
  evaluator.budget().allocate(text.size());
  if (!separator) return Value::list(split_space_right(text, max_splits));
  charge_reverse_search(evaluator.budget(), text, *separator);
  std::vector<Value> parts;
  while (max_splits < 0 || static_cast<std::int64_t>(parts.size()) < max_splits) {
    const std::size_t at = text.rfind(*separator);
    if (at == kNone) break;
    evaluator.budget().step();
    parts.emplace_back(text.substr(at + separator->size()));
    text = text.substr(0, at);
  }
  parts.emplace_back(text);
  std::reverse(parts.begin(), parts.end());
  return Value::list(std::move(parts));
}

Value splitlines(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"keepends"});
  const std::string& text = text_of(self);
  evaluator.budget().allocate(text.size());
  std::vector<Value> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = at;
    const char32_t c = next_code_point(text, at);
    const bool line_end =
        (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!line_end) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.emplace_back(text.substr(begin, (bound.flag(0, false) ? at : end) - begin));
    begin = at;
  }
  if (begin < text.size()) lines.emplace_back(text.substr(begin));
  return Value::list(std::move(lines));
}

template <bool at_start>
Value has_affix(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"affix", "start", "end"}, 1);
  std::string_view text = text_of(self);
  if (bound[1] || bound[2]) fail("startswith() and endswith() take one argument here");
  const auto matches = [&](const Value& affix) {
    const std::string& part = require_text(affix, "an argument");
    return at_start ? text.starts_with(part) : text.ends_with(part);
  };
  const Sequence* choices = bound[0]->as_sequence();
  if (!choices || choices->kind != SequenceKind::kTuple) return matches(*bound[0]);
  return std::any_of(choices->items.begin(), choices->items.end(), matches);
}

template <std::string (*convert)(std::string_view)>
Value converted(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return convert(text_of(self));
}

Value join(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"iterable"}, 1);
  require_defined(*bound[0]);
  std::string result;
  bool first = true;
  for (const Value& item : iterate(*bound[0], evaluator.budget())) {
    if (!first) append_text(result, self, evaluator.budget());
    first = false;
    require_text(item, "an item of join()");
    append_text(result, item, evaluator.budget());
  }
  return result;
}

// Where `part` first (or last) occurs, in code points; -1: nowhere.
template <bool last>
std::int64_t position(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"sub", "start", "end"}, 1);
  const std::string& text = text_of(self);
  const std::string& part = bound.text(0);
  const auto size = static_cast<std::int64_t>(code_point_count(text));
  const auto clamp = [&](std::int64_t index) {
    return std::clamp<std::int64_t>(index < 0 ? index + size : index, 0, size);
  };
  const std::int64_t raw_start = bound.integer(1, 0);
  const std::int64_t start = clamp(raw_start);
  const std::int64_t stop = clamp(bound[2] && !bound[2]->is_none() ? bound.integer(2, size) : size);
  if (start > stop || raw_start > size) return -1;
  const std::size_t begin = byte_offset(text, start);
  const std::size_t end = byte_offset(text, stop);
  const std::string_view window = std::string_view(text).substr(begin, end - begin);
  evaluator.budget().work(window.size());
  if (last) charge_reverse_search(evaluator.budget(), window, part);
  const std::size_t at = last ? window.rfind(part) : find_text(window, part);
  if (at == kNone) return -1;
  return start + static_cast<std::int64_t>(code_point_count(window.substr(0, at)));
}

template <bool last, bool must_exist>
Value find(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const std::int64_t at = position<last>(evaluator, self, arguments);
  if (must_exist && at < 0) fail("index(): the text is not there");
  return at;
}

Value count(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"sub"}, 1);
  const std::string& text = text_of(self);
  const std::string& part = bound.text(0);
  evaluator.budget().work(text.size());
  return part.empty() ? code_point_count(text) + 1 : occurrences(text, part);
}

template <bool (*accepts)(char32_t)>
Value all_of(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  const std::string& text = text_of(self);
  for (std::size_t at = 0; at < text.size();) {
    if (!accepts(next_code_point(text, at))) return false;
  }
  return !text.empty();
}

bool is_alphanumeric(char32_t c) { return is_letter(c) || is_digit(c); }

// All cased letters are of one case, and there is at least one.
template <bool (*wanted)(char32_t), bool (*unwanted)(char32_t)>
Value all_cased(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  const std::string& text = text_of(self);
  bool found = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (unwanted(c)) return false;
    found = found || wanted(c);
  }
  return found;
}

Value remove_prefix(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"prefix"}, 1);
  std::string_view text = text_of(self);
  if (text.starts_with(bound.text(0))) text.remove_prefix(bound.text(0).size());
  return text;
}

Value remove_suffix(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"suffix"}, 1);
  std::string_view text = text_of(self);
  if (text.ends_with(bound.text(0))) text.remove_suffix(bound.text(0).size());
  return text;
}

template <bool from_right>
Value partition(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"sep"}, 1);
  const std::string& text = text_of(self);
  const std::string& separator = bound.text(0);
  if (separator.empty()) fail("partition(): the separator is empty");
  evaluator.budget().work(text.size());
  if (from_right) charge_reverse_search(evaluator.budget(), text, separator);
  const std::size_t at = from_right ? text.rfind(separator) : find_text(text, separator);
  std::vector<Value> parts = from_right ? std::vector<Value>{"", "", text} : std::vector<Value>{text, "", ""};
  if (at != kNone) parts = {text.substr(0, at), separator, text.substr(at + separator.size())};
  return Value::sequence(SequenceKind::kTuple, std::move(parts));
}

enum class Side { left, right, both };

// ljust, rjust and center; the odd space of center() falls where Python puts it.
template <Side text_at>
Value justify(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"width", "fillchar"}, 1);
  const std::string& text = text_of(self);
  const std::string fill = bound[1] ? bound.text(1) : " ";
  if (code_point_count(fill) != 1) fail("a fill character must be one character");
  const std::int64_t width = bound.integer(0, 0);
  const auto size = static_cast<std::int64_t>(code_point_count(text));
  if (width <= size) return text;
  const std::int64_t missing = width - size;
  evaluator.budget().allocate(std::min(missing, std::int64_t{1} << 40) * fill.size());
  std::int64_t before = text_at == Side::left ? 0 : missing;
  if (text_at == Side::both) before = missing / 2 + (missing & width & 1);
  std::string result;
  for (std::int64_t i = 0; i < before; ++i) result += fill;
  result += text;
  for (std::int64_t i = before; i < missing; ++i) result += fill;
  return result;
}

Value zfill(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"width"}, 1);
  const std::string& text = text_of(self);
  const std::int64_t width = bound.integer(0, 0);
  const auto size = static_cast<std::int64_t>(code_point_count(text));
  if (width <= size) return text;
  const std::int64_t missing = width - size;
  evaluator.budget().allocate(missing);
  const std::size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  return text.substr(0, sign) + std::string(missing, '0') + text.substr(sign);
}

Value format(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  return brace_format(text_of(self), arguments, evaluator.budget());
}

// str.replace(); the filter of that name ends here too.
Value replace(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"old", "new", "count"}, 2);
  bound.text(0);
  bound.text(1);
  return evaluator.apply_filter("replace", self, arguments);
}

constexpr NamedFunction kMethods[] = {
    {"strip", strip<true, true>},
    {"lstrip", strip<true, false>},
    {"rstrip", strip<false, true>},
    {"split", split},
    {"rsplit", rsplit},
    {"splitlines", splitlines},
    {"startswith", has_affix<true>},
    {"endswith", has_affix<false>},
    {"upper", converted<to_upper>},
    {"lower", converted<to_lower>},
    {"capitalize", converted<capitalize>},
    {"title", converted<title_case>},
    {"replace", replace},
    {"join", join},
    {"find", find<false, false>},
    {"rfind", find<true, false>},
    {"index", find<false, true>},
    {"rindex", find<true, true>},
    {"count", count},
    {"isdigit", all_of<is_digit>},
    {"isdecimal", all_of<is_digit>},
    {"isnumeric", all_of<is_digit>},
    {"isalpha", all_of<is_letter>},
    {"isalnum", all_of<is_alphanumeric>},
    {"isspace", all_of<is_space>},
    {"isupper", all_cased<is_upper, is_lower>},
    {"islower", all_cased<is_lower, is_upper>},
    {"removeprefix", remove_prefix},
    {"removesuffix", remove_suffix},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"ljust", justify<Side::left>},
    {"rjust", justify<Side::right>},
    {"center", justify<Side::both>},
    {"zfill", zfill},
    {"format", format},
};

}  // namespace

std::span<const NamedFunction> text_methods() { return kMethods; }

}  // namespace caudal::jinja
