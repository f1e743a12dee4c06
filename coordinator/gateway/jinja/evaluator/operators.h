// Operators with Python's meaning: floor division, sign of the remainder, sequences, True == 1.
// Integers have 64 bits; what does not fit is an error and never wraps.
#pragma once

#include "coordinator/gateway/jinja/syntax/ast.h"
#include "coordinator/gateway/jinja/value/value.h"

namespace caudal::jinja {

Value arithmetic(ast::BinaryOperator op, const Value& a, const Value& b, Budget& budget);
Value unary(ast::UnaryOperator op, const Value& operand);
bool compare(ast::CompareOperator op, const Value& a, const Value& b, Budget& budget);

// object[start:stop:step] of a string, list, tuple or range; null: not given.
struct SliceBounds {
  const Value* start;
  const Value* stop;
  const Value* step;
};
Value slice(const Value& object, const SliceBounds& bounds, Budget& budget);

}  // namespace caudal::jinja
