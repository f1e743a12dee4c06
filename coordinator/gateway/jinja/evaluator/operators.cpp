#include "coordinator/gateway/jinja/evaluator/operators.h"

#include <algorithm>
#include <cmath>

#include "coordinator/gateway/jinja/evaluator/library.h"
#include "coordinator/gateway/jinja/value/calls.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/text.h"

namespace caudal::jinja {
namespace {

using enum ast::BinaryOperator;

std::int64_t floor_divide_integers(std::int64_t a, std::int64_t b) {
  if (a == INT64_MIN && b == -1) fail("an integer is too large");
  return a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}

std::int64_t modulo_integers(std::int64_t a, std::int64_t b) {
  if (b == -1) return 0;  // INT64_MIN % -1 traps
  const std::int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Value power_integers(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) fail("division by zero");
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  std::int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) fail("an integer is too large");
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) fail("an integer is too large");
  }
  return result;
}

Value integers(ast::BinaryOperator op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  if (b == 0 && (op == kDivide || op == kFloorDivide || op == kModulo)) fail("division by zero");
  switch (op) {
    case kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case kDivide:
      return static_cast<double>(a) / static_cast<double>(b);
    case kFloorDivide:
      return floor_divide_integers(a, b);
    case kModulo:
      return modulo_integers(a, b);
    case kPower:
      return power_integers(a, b);
  }
  if (overflow) fail("an integer is too large");
  return result;
}

double modulo_reals(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0.0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

// Python's rule: the quotient that fits the remainder, not the floor of the rounded quotient.
double floor_divide_reals(double a, double b) {
  const double quotient = (a - modulo_reals(a, b)) / b;
  if (quotient == 0.0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1.0 : floored;
}

Value power_reals(double a, double b) {
  if (a == 0.0 && b < 0) fail("division by zero");
  const double result = std::pow(a, b);
  if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) fail("a power has no real value");
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) fail("a number is too large");
  return result;
}

Value reals(ast::BinaryOperator op, double a, double b) {
  if (b == 0.0 && (op == kDivide || op == kFloorDivide || op == kModulo)) fail("division by zero");
  switch (op) {
    case kAdd:
      return a + b;
    case kSubtract:
      return a - b;
    case kMultiply:
      return a * b;
    case kDivide:
      return a / b;
    case kFloorDivide:
      return floor_divide_reals(a, b);
    case kModulo:
      return modulo_reals(a, b);
    case kPower:
      return power_reals(a, b);
  }
  return {};
}

Value concatenate(const Sequence& a, const Sequence& b, Budget& budget) {
  budget.allocate((a.items.size() + b.items.size()) * sizeof(Value));
  std::vector<Value> items = a.items;
  items.insert(items.end(), b.items.begin(), b.items.end());
  return Value::sequence(a.kind, std::move(items));
}

// Null (undefined) when `value` is no text, list or tuple.
Value repeat(const Value& value, std::int64_t count, Budget& budget) {
  const std::string* text = value.text();
  const Sequence* sequence = value.as_sequence();
  if (!text && !(sequence && sequence->indexable() && sequence->kind != SequenceKind::kRange)) return {};
  const std::size_t times = count > 0 ? static_cast<std::size_t>(count) : 0;
  std::size_t bytes = 0;
  const std::size_t unit = text ? text->size() : sequence->items.size() * sizeof(Value);
  if (__builtin_mul_overflow(unit, times, &bytes)) bytes = SIZE_MAX;
  budget.allocate(bytes);
  if (unit == 0) return value;
  if (text) {
    std::string result;
    result.reserve(bytes);
    for (std::size_t i = 0; i < times; ++i) result += *text;
    return result;
  }
  std::vector<Value> items;
  items.reserve(sequence->items.size() * times);
  for (std::size_t i = 0; i < times; ++i) {
    items.insert(items.end(), sequence->items.begin(), sequence->items.end());
  }
  return Value::sequence(sequence->kind, std::move(items));
}

// `index` as slices take it: counted from the end when negative, then clamped to [low, high].
std::int64_t clamp_index(const Value* index, std::int64_t fallback, std::int64_t size, std::int64_t low,
                         std::int64_t high) {
  if (!index || index->is_none()) return fallback;
  std::int64_t position = require_integer(*index, "a slice bound");
  if (position < 0) position += size;
  return std::clamp(position, low, high);
}

std::vector<std::int64_t> slice_positions(std::int64_t size, const SliceBounds& bounds) {
  const std::int64_t step = bounds.step && !bounds.step->is_none() ? require_integer(*bounds.step, "a slice step") : 1;
  if (step == 0) fail("a slice step cannot be zero");
  const bool forward = step > 0;
  const std::int64_t low = forward ? 0 : -1;
  const std::int64_t high = forward ? size : size - 1;
  const std::int64_t start = clamp_index(bounds.start, forward ? low : high, size, low, high);
  const std::int64_t stop = clamp_index(bounds.stop, forward ? high : low, size, low, high);
  std::vector<std::int64_t> positions;
  const std::int64_t stride = std::clamp(step, -size - 1, size + 1);  // further jumps end the slice all the same
  for (std::int64_t i = start; forward ? i < stop : i > stop; i += stride) positions.push_back(i);
  return positions;
}

std::string slice_text(const std::string& text, const SliceBounds& bounds, Budget& budget) {
  const std::vector<std::int64_t> positions =
      slice_positions(static_cast<std::int64_t>(code_point_count(text)), bounds);
  budget.allocate(text.size() + positions.size() * sizeof(std::int64_t));
  std::vector<std::size_t> starts;  // byte offset of each code point
  for (std::size_t at = 0; at < text.size();) {
    starts.push_back(at);
    ++at;
    while (at < text.size() && (text[at] & 0xC0) == 0x80) ++at;
  }
  starts.push_back(text.size());
  std::string result;
  for (const std::int64_t position : positions) {
    const std::size_t i = position;
    result.append(text, starts[i], starts[i + 1] - starts[i]);
  }
  return result;
}

}  // namespace

Value arithmetic(ast::BinaryOperator op, const Value& a, const Value& b, Budget& budget) {
  require_defined(a);
  if (op == kModulo && a.text()) return percent_format(*a.text(), b, budget);
  require_defined(b);
  if (a.is_integral() && b.is_integral()) return integers(op, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return reals(op, a.real(), b.real());
  if (op == kAdd && a.text() && b.text()) {
    budget.allocate(a.text()->size() + b.text()->size());
    return *a.text() + *b.text();
  }
  const Sequence* x = a.as_sequence();
  const Sequence* y = b.as_sequence();
  if (op == kAdd && x && y && x->kind == y->kind && x->indexable() && x->kind != SequenceKind::kRange) {
    return concatenate(*x, *y, budget);
  }
  if (op == kMultiply && (a.is_integral() || b.is_integral())) {
    Value result = a.is_integral() ? repeat(b, a.integer(), budget) : repeat(a, b.integer(), budget);
    if (!result.is_undefined()) return result;
  }
  fail(std::string("an operator cannot combine ") + type_name(a) + " and " + type_name(b));
}

Value unary(ast::UnaryOperator op, const Value& operand) {
  if (op == ast::UnaryOperator::kLogicalNot) return !truthy(operand);
  require_defined(operand);
  const bool negate = op == ast::UnaryOperator::kNegate;
  if (operand.is<double>()) return negate ? -operand.real() : operand.real();
  const std::int64_t number = require_integer(operand, "the operand of a sign");
  if (!negate) return number;
  if (number == INT64_MIN) fail("an integer is too large");
  return -number;
}

bool compare(ast::CompareOperator op, const Value& a, const Value& b, Budget& budget) {
  using enum ast::CompareOperator;
  switch (op) {
    case kEqual:
      return equals(a, b, budget);
    case kNotEqual:
      return !equals(a, b, budget);
    case kIn:
      return contains(b, a, budget);
    case kNotIn:
      return !contains(b, a, budget);
    default:
      break;
  }
  require_defined(a);
  require_defined(b);
  if (op == kLess) return jinja::less(a, b, budget);
  if (op == kGreater) return jinja::less(b, a, budget);
  const bool equal_or_less = op == kLessEqual ? jinja::less(a, b, budget) : jinja::less(b, a, budget);
  return equal_or_less || equals(a, b, budget);
}

Value slice(const Value& object, const SliceBounds& bounds, Budget& budget) {
  require_defined(object);
  for (const Value* bound : {bounds.start, bounds.stop, bounds.step}) {
    if (bound) require_defined(*bound);
  }
  if (const std::string* text = object.text()) return slice_text(*text, bounds, budget);
  const Sequence* sequence = object.as_sequence();
  if (!sequence || !sequence->indexable()) fail(std::string("cannot slice ") + type_name(object));
  std::vector<Value> items;
  for (const std::int64_t position : slice_positions(static_cast<std::int64_t>(sequence->items.size()), bounds)) {
    items.push_back(sequence->items[position]);
  }
  budget.allocate(items.size() * sizeof(Value));
  return Value::sequence(sequence->kind, std::move(items));
}

}  // namespace caudal::jinja
