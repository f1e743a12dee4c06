// Filters on numbers, and `default`.
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "coordinator/gateway/jinja/evaluator/evaluator.h"
#include "coordinator/gateway/jinja/evaluator/library.h"
#include "coordinator/gateway/jinja/evaluator/operators.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/text.h"

namespace caudal::jinja {
namespace {

Value absolute(Evaluator&, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {});
  if (input.is<double>()) return std::fabs(input.real());
  const std::int64_t number = require_integer(input, "the input of abs");
  return number < 0 ? unary(ast::UnaryOperator::kNegate, number) : Value(number);
}

// int(text) or float(text) of Python: white space around, underscores between digits.
std::optional<std::string> number_literal(std::string_view text) {
  const std::string_view bare = strip_left(strip_right(text));
  std::string digits;
  for (std::size_t i = 0; i < bare.size(); ++i) {
    const bool between = i > 0 && i + 1 < bare.size() && std::isdigit(static_cast<unsigned char>(bare[i - 1])) &&
                         std::isdigit(static_cast<unsigned char>(bare[i + 1]));
    if (bare[i] == '_' && !between) return std::nullopt;
    if (bare[i] != '_') digits += bare[i];
  }
  if (digits.starts_with('+')) {
    digits.erase(0, 1);
    if (digits.starts_with('-') || digits.starts_with('+')) return std::nullopt;
  }
  return digits;
}

std::optional<std::int64_t> parse_integer(std::string_view text, int base) {
  const auto digits = number_literal(text);
  if (!digits || digits->empty()) return std::nullopt;
  std::int64_t number = 0;
  const char* end = digits->data() + digits->size();
  const auto parsed = std::from_chars(digits->data(), end, number, base);
  if (parsed.ec == std::errc::result_out_of_range) fail("an integer is too large");
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return number;
}

std::optional<double> parse_real(std::string_view text) {
  const auto digits = number_literal(text);
  if (!digits || digits->empty() || digits->find('(') != std::string::npos) return std::nullopt;
  double number = 0;
  const char* end = digits->data() + digits->size();
  const auto parsed = std::from_chars(digits->data(), end, number);
  if (parsed.ptr != end) return std::nullopt;
  if (parsed.ec == std::errc::result_out_of_range) return std::strtod(digits->c_str(), nullptr);
  return number;
}

std::optional<std::int64_t> truncated(double number) {
  if (!std::isfinite(number)) return std::nullopt;
  if (std::fabs(number) >= 9.2e18) fail("an integer is too large");
  return static_cast<std::int64_t>(number);
}

Value to_int(Evaluator&, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"default", "base"});
  const Value fallback = bound.value(0, 0);
  require_defined(input);
  if (input.is_integral()) return input.integer();
  std::optional<std::int64_t> number;
  if (input.is<double>()) number = truncated(input.real());
  if (const std::string* text = input.text()) {
    const std::int64_t base = bound.integer(1, 10);
    if (base < 2 || base > 36) fail("int: the base must be between 2 and 36");
    number = parse_integer(*text, static_cast<int>(base));
    const auto real = number ? std::nullopt : parse_real(*text);
    if (real) number = truncated(*real);
  }
  return number ? Value(*number) : fallback;
}

Value to_float(Evaluator&, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"default"});
  require_defined(input);
  if (input.is_number()) return input.real();
  const auto number = input.text() ? parse_real(*input.text()) : std::nullopt;
  return number ? Value(*number) : bound.value(0, 0.0);
}

// round(x, n) of Python: half to even on the exact binary value, which is what to_chars() rounds by.
double round_half_even(double number, std::int64_t precision) {
  if (!std::isfinite(number) || precision > 300) return number;
  if (precision < -300) return std::copysign(0.0, number);
  if (precision >= 0) {
    char buffer[700];
    const auto format = std::chars_format::fixed;
    const char* end = std::to_chars(buffer, std::end(buffer), number, format, static_cast<int>(precision)).ptr;
    std::from_chars(buffer, end, number);
    return number;
  }
  const double scale = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(number / scale) * scale;
}

// Python keeps integers integers; only the digits before the point can change.
std::int64_t round_integer(std::int64_t number, std::int64_t precision) {
  if (precision >= 0) return number;
  if (precision < -18) return 0;
  std::int64_t scale = 1;
  for (std::int64_t i = 0; i < -precision; ++i) scale *= 10;
  std::int64_t quotient = number / scale;
  const std::int64_t rest = std::abs(number % scale);
  const bool up = rest > scale - rest || (rest == scale - rest && quotient % 2 != 0);
  if (up) quotient += number < 0 ? -1 : 1;
  if (__builtin_mul_overflow(quotient, scale, &quotient)) fail("an integer is too large");
  return quotient;
}

Value round(Evaluator&, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"precision", "method"});
  const std::int64_t precision = bound.integer(0, 0);
  const Value chosen = bound.value(1, "common");
  const std::string& method = require_text(chosen, "'method'");
  require_defined(input);
  if (!input.is_number()) fail(std::string("round needs a number, not ") + type_name(input));
  if (method == "common") {
    if (input.is_integral()) return round_integer(input.integer(), precision);
    return round_half_even(input.real(), precision);
  }
  if (method != "ceil" && method != "floor") fail("round knows the methods common, ceil and floor");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.real() * scale;
  return (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale;
}

Value sum(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"attribute", "start"});
  Value total = bound.value(1, 0);
  const bool by_attribute = bound[0] && !bound[0]->is_none();
  for (const Value& item : iterate(input, evaluator.budget())) {
    const Value value = by_attribute ? attribute_path(evaluator, item, *bound[0]) : item;
    total = arithmetic(ast::BinaryOperator::kAdd, total, value, evaluator.budget());
  }
  return total;
}

Value default_value(Evaluator&, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"default_value", "boolean"});
  const bool missing = input.is_undefined() || (bound.flag(1, false) && !truthy(input));
  return missing ? bound.value(0, "") : input;
}

constexpr NamedFunction kNumberFilters[] = {
    {"abs", absolute}, {"int", to_int},      {"float", to_float},        {"round", round},
    {"sum", sum},      {"d", default_value}, {"default", default_value},
};

}  // namespace

std::span<const NamedFunction> number_filters() { return kNumberFilters; }

}  // namespace caudal::jinja
