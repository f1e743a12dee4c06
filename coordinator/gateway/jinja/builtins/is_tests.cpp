// What can stand after `is`.
#include <algorithm>
#include <unordered_map>

#include "coordinator/gateway/jinja/evaluator/evaluator.h"
#include "coordinator/gateway/jinja/evaluator/library.h"
#include "coordinator/gateway/jinja/evaluator/operators.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/text.h"

namespace caudal::jinja {
namespace {

template <bool (*accepts)(const Value&)>
bool unary_test(Evaluator&, const Value& value, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return accepts(value);
}

template <ast::CompareOperator op>
bool comparison(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  const Bound bound(arguments, {"other"}, 1);
  return compare(op, value, *bound[0], evaluator.budget());
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_string(const Value& value) { return value.text() != nullptr; }
bool is_mapping(const Value& value) { return value.as_dict() != nullptr; }
bool is_number(const Value& value) { return value.is_number(); }
bool is_integer(const Value& value) { return value.is<std::int64_t>(); }
bool is_float(const Value& value) { return value.is<double>(); }
bool is_boolean(const Value& value) { return value.is<bool>(); }
bool is_true(const Value& value) { return value.is<bool>() && truthy(value); }
bool is_false(const Value& value) { return value.is<bool>() && !truthy(value); }

// Jinja's undefined is an empty sequence, and answers to a call (with an error).
bool is_callable(const Value& value) { return value.as_callable() || value.is_undefined(); }
bool is_iterable(const Value& value) {
  return value.text() || value.as_dict() || value.as_sequence() || value.is_undefined();
}
bool is_sequence(const Value& value) {
  const Sequence* sequence = value.as_sequence();
  return value.text() || value.as_dict() || value.is_undefined() || (sequence && sequence->indexable());
}

bool odd(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  const Bound bound(arguments, {});
  const Value rest = arithmetic(ast::BinaryOperator::kModulo, value, 2, evaluator.budget());
  return equals(rest, 1, evaluator.budget());
}

bool even(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  const Bound bound(arguments, {});
  const Value rest = arithmetic(ast::BinaryOperator::kModulo, value, 2, evaluator.budget());
  return equals(rest, 0, evaluator.budget());
}

bool divisible_by(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  const Bound bound(arguments, {"num"}, 1);
  const Value rest = arithmetic(ast::BinaryOperator::kModulo, value, *bound[0], evaluator.budget());
  return equals(rest, 0, evaluator.budget());
}

// Identity in Python; here the same kind and equal, which is the same for what templates compare so.
bool same_as(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  const Bound bound(arguments, {"other"}, 1);
  return value.storage().index() == bound[0]->storage().index() && equals(value, *bound[0], evaluator.budget());
}

template <bool upper>
bool is_cased(Evaluator& evaluator, const Value& value, const Arguments& arguments) {
  const Bound bound(arguments, {});
  const Value text = to_text(value, evaluator.budget());
  return truthy(find_method(text, upper ? "isupper" : "islower")(evaluator, text, Arguments()));
}

bool names_filter(Evaluator&, const Value& value, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return value.text() && find_filter(*value.text());
}

bool names_test(Evaluator&, const Value& value, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return value.text() && find_test(*value.text());
}

using enum ast::CompareOperator;

const std::unordered_map<std::string_view, Predicate>& table() {
  static const std::unordered_map<std::string_view, Predicate> kTests = {
      {"defined", unary_test<is_defined>},
      {"undefined", unary_test<is_undefined>},
      {"none", unary_test<is_none>},
      {"string", unary_test<is_string>},
      {"mapping", unary_test<is_mapping>},
      {"sequence", unary_test<is_sequence>},
      {"iterable", unary_test<is_iterable>},
      {"callable", unary_test<is_callable>},
      {"number", unary_test<is_number>},
      {"integer", unary_test<is_integer>},
      {"float", unary_test<is_float>},
      {"boolean", unary_test<is_boolean>},
      {"true", unary_test<is_true>},
      {"false", unary_test<is_false>},
      {"odd", odd},
      {"even", even},
      {"divisibleby", divisible_by},
      {"sameas", same_as},
      {"upper", is_cased<true>},
      {"lower", is_cased<false>},
      {"filter", names_filter},
      {"test", names_test},
      {"in", comparison<kIn>},
      {"eq", comparison<kEqual>},
      {"equalto", comparison<kEqual>},
      {"==", comparison<kEqual>},
      {"ne", comparison<kNotEqual>},
      {"!=", comparison<kNotEqual>},
      {"lt", comparison<kLess>},
      {"lessthan", comparison<kLess>},
      {"<", comparison<kLess>},
      {"le", comparison<kLessEqual>},
      {"<=", comparison<kLessEqual>},
      {"gt", comparison<kGreater>},
      {"greaterthan", comparison<kGreater>},
      {">", comparison<kGreater>},
      {"ge", comparison<kGreaterEqual>},
      {">=", comparison<kGreaterEqual>},
  };
  return kTests;
}

}  // namespace

Predicate find_test(std::string_view name) {
  const auto found = table().find(name);
  return found == table().end() ? nullptr : found->second;
}

}  // namespace caudal::jinja
