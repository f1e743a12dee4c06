// Python's two older ways to format text: "%s: %d" % (a, b), and "{}: {}".format(a, b).
#include <charconv>
#include <cmath>

#include "coordinator/gateway/jinja/evaluator/library.h"
#include "coordinator/gateway/jinja/evaluator/operators.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/text.h"

namespace caudal::jinja {
namespace {

constexpr std::size_t kMaxWidth = 10'000;

// One `%...` item: flags, width, precision, letter.
struct Item {
  bool left = false, zero = false, plus = false, space = false;
  std::size_t width = 0;
  int precision = -1;
};

class PercentFormatter {
 public:
  PercentFormatter(const std::string& format, const Value& arguments, Budget& budget)
      : format_(format), arguments_(arguments), budget_(budget) {}

  std::string run();

 private:
  char peek() const { return at_ < format_.size() ? format_[at_] : '\0'; }
  std::size_t digits();
  Item flags();
  void item();
  std::optional<Value> named_argument();
  Value next_argument();
  std::string number(char letter, const Item& item, const Value& value) const;
  void pad(const Item& item, std::string text, bool is_number);

  const std::string& format_;
  const Value& arguments_;
  Budget& budget_;
  std::string out_;
  std::size_t at_ = 0;
  std::size_t used_ = 0;
};

std::string PercentFormatter::run() {
  while (at_ < format_.size()) {
    const std::size_t percent = std::min(format_.find('%', at_), format_.size());
    out_.append(format_, at_, percent - at_);
    at_ = percent;
    if (at_ < format_.size()) item();
  }
  const Sequence* tuple = arguments_.as_sequence();
  const bool is_tuple = tuple && tuple->kind == SequenceKind::kTuple;
  const bool is_mapping =
      arguments_.as_dict() || arguments_.is_undefined() || (tuple && tuple->indexable() && !is_tuple);
  const std::size_t given = is_tuple ? tuple->items.size() : 1;
  if (!is_mapping && used_ < given) fail("not all arguments of '%' are used by the format");
  return std::move(out_);
}

std::size_t PercentFormatter::digits() {
  std::size_t number = 0;
  for (; peek() >= '0' && peek() <= '9'; ++at_) {
    number = number * 10 + static_cast<std::size_t>(peek() - '0');
    if (number > kMaxWidth) fail("a width in a format is too large");
  }
  return number;
}

Item PercentFormatter::flags() {
  Item item;
  for (;; ++at_) {
    if (peek() == '-')
      item.left = true;
    else if (peek() == '0')
      item.zero = true;
    else if (peek() == '+')
      item.plus = true;
    else if (peek() == ' ')
      item.space = true;
    else
      break;
  }
  item.width = digits();
  if (peek() != '.') return item;
  ++at_;
  item.precision = static_cast<int>(digits());
  return item;
}

std::optional<Value> PercentFormatter::named_argument() {
  if (peek() != '(') return std::nullopt;
  const std::size_t end = format_.find(')', at_);
  const Dict* dict = arguments_.as_dict();
  if (end == std::string::npos || !dict) fail("a format with names needs a mapping");
  const Value* value = dict->find(std::string_view(format_).substr(at_ + 1, end - at_ - 1));
  if (!value) fail("a format names a missing key");
  at_ = end + 1;
  return *value;
}

Value PercentFormatter::next_argument() {
  const Sequence* tuple = arguments_.as_sequence();
  if (tuple && tuple->kind == SequenceKind::kTuple) {
    if (used_ >= tuple->items.size()) fail("not enough arguments for a format");
    return tuple->items[used_++];
  }
  if (used_++ > 0) fail("not enough arguments for a format");
  return arguments_;
}

void PercentFormatter::item() {
  ++at_;
  std::optional<Value> value = named_argument();
  const Item item = flags();
  const char letter = peek();
  ++at_;
  if (letter == '%') {
    out_ += '%';
    return;
  }
  if (letter == '\0') fail("a format ends inside an item");
  if (!value) value = next_argument();
  if (letter != 's' && letter != 'r') return pad(item, number(letter, item, *value), true);
  std::string text;
  letter == 's' ? append_text(text, *value, budget_) : append_repr(text, *value, budget_);
  if (item.precision >= 0) text.resize(byte_offset(text, item.precision));
  pad(item, std::move(text), false);
}

// As printf writes it. `precision` at most 100.
std::string real_text(double number, std::chars_format format, int precision) {
  char buffer[512];
  return {buffer, std::to_chars(buffer, std::end(buffer), number, format, precision).ptr};
}

std::string PercentFormatter::number(char letter, const Item& item, const Value& value) const {
  if (!value.is_number()) fail(std::string("a format needs a number, not ") + type_name(value));
  const bool integer = letter == 'd' || letter == 'i' || letter == 'u';
  const int precision = item.precision < 0 ? 6 : item.precision;
  if (precision > 100) fail("a precision in a format is too large");
  std::string text;
  if (integer && value.is_integral()) {
    text = std::to_string(value.integer());
    const std::size_t sign = text[0] == '-' ? 1 : 0, num_digits = text.size() - sign;
    const auto wanted = static_cast<std::size_t>(std::max(item.precision, 0));
    if (num_digits < wanted) text.insert(sign, wanted - num_digits, '0');
  } else if (integer) {
    if (!std::isfinite(value.real())) fail("a format needs a finite number");
    text = real_text(std::trunc(value.real()) + 0.0 /* no -0 */, std::chars_format::fixed, 0);
  } else if (letter == 'f' || letter == 'F') {
    text = real_text(value.real(), std::chars_format::fixed, precision);
  } else if (letter == 'e') {
    text = real_text(value.real(), std::chars_format::scientific, precision);
  } else if (letter == 'g') {
    text = real_text(value.real(), std::chars_format::general, precision);
  } else if (letter == 'x' && value.is_integral() && value.integer() >= 0) {
    char buffer[16];
    text.assign(buffer, std::to_chars(buffer, std::end(buffer), value.integer(), 16).ptr);
  } else {
    fail(std::string("a format item '%") + letter + "' is not supported here");
  }
  if (text[0] == '-') return text;
  if (item.plus) return "+" + text;
  return item.space ? " " + text : text;
}

void PercentFormatter::pad(const Item& item, std::string text, bool is_number) {
  const std::size_t size = code_point_count(text);
  const std::size_t missing = item.width > size ? item.width - size : 0;
  budget_.allocate(text.size() + missing);
  const bool zeros = is_number && item.zero && !item.left;
  const std::size_t sign = zeros && (text[0] == '-' || text[0] == '+' || text[0] == ' ') ? 1 : 0;
  if (zeros) text.insert(sign, missing, '0');
  if (!zeros && !item.left) text.insert(0, missing, ' ');
  if (item.left) text.append(missing, ' ');
  out_ += text;
}

// The argument a `{...}` field names: nothing (the next one), a position, or a name.
const Value& field_value(std::string_view field, const Arguments& arguments, std::size_t& next) {
  if (field.find_first_of(".[:!{") != std::string_view::npos) fail("format() takes plain fields only");
  std::size_t position = 0;
  if (field.empty()) {
    position = next++;
  } else if (field.find_first_not_of("0123456789") == std::string_view::npos) {
    position = field.size() < 6 ? std::stoul(std::string(field)) : SIZE_MAX;
  } else {
    for (const auto& [name, value] : arguments.named) {
      if (name == field) return value;
    }
    fail("format() misses an argument");
  }
  if (position >= arguments.positional.size()) fail("format() misses an argument");
  return arguments.positional[position];
}

}  // namespace

Value percent_format(const std::string& format, const Value& arguments, Budget& budget) {
  return PercentFormatter(format, arguments, budget).run();
}

Value brace_format(const std::string& format, const Arguments& arguments, Budget& budget) {
  std::string out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const char c = format[i];
    if ((c == '{' || c == '}') && i + 1 < format.size() && format[i + 1] == c) {
      out += c;
      ++i;
    } else if (c == '{') {
      const std::size_t end = format.find('}', i);
      if (end == std::string::npos) fail("format(): a field is never closed");
      append_text(out, field_value(std::string_view(format).substr(i + 1, end - i - 1), arguments, next), budget);
      i = end;
    } else if (c == '}') {
      fail("format(): a single '}'");
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace caudal::jinja
