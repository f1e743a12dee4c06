// The syntax tree of a template: plain data, built once by the parser, read by any number of
// renderings at the same time. Names are numbered: `Name::symbol` indexes Template::symbols.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "coordinator/gateway/jinja/value/value.h"

namespace caudal::jinja::ast {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;
using Expressions = std::vector<ExpressionPtr>;

// f(a, b, *c, d=e, **f)
struct CallArguments {
  Expressions positional;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  ExpressionPtr extra_positional;  // may be null
  ExpressionPtr extra_named;       // may be null
};

struct Literal {
  Value value;
};
struct Name {
  int symbol;
};
struct ListLiteral {
  SequenceKind kind;  // list or tuple
  Expressions items;
};
struct DictLiteral {
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> entries;
};
struct Attribute {
  ExpressionPtr object;
  std::string name;
};
struct Subscript {
  ExpressionPtr object, index;
};
struct Slice {
  ExpressionPtr object, start, stop, step;  // the last three may be null
};
struct Call {
  ExpressionPtr callee;
  CallArguments arguments;
};
struct Filter {
  ExpressionPtr input;  // null in `{% filter f %}` and `{% set x | f %}`: the captured text
  std::string name;
  CallArguments arguments;
};
struct Test {
  ExpressionPtr input;
  std::string name;
  CallArguments arguments;
};

enum class UnaryOperator { kNegate, kPlus, kLogicalNot };
struct Unary {
  UnaryOperator op;
  ExpressionPtr operand;
};

// Chains of one precedence are flat (`a + b - c` is one node), so that a long one needs no deep stack.
enum class BinaryOperator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
struct Arithmetic {
  ExpressionPtr first;
  std::vector<std::pair<BinaryOperator, ExpressionPtr>> rest;
};
struct Concat {
  Expressions parts;
};
enum class CompareOperator { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };
struct Compare {
  ExpressionPtr first;
  std::vector<std::pair<CompareOperator, ExpressionPtr>> rest;
};
struct Logic {
  bool is_and;
  Expressions operands;
};
struct Conditional {
  ExpressionPtr condition, then, otherwise;  // `otherwise` may be null: undefined
};

struct Expression {
  int line;
  int height;  // of the tree below, this node included
  std::variant<Literal, Name, ListLiteral, DictLiteral, Attribute, Subscript, Slice, Call, Filter, Test, Unary,
               Arithmetic, Concat, Compare, Logic, Conditional>
      node;
};

using Node = decltype(Expression::node);
ExpressionPtr make(int line, Node node);

// What an assignment writes to: a name, `namespace.member`, or a tuple of those.
struct Target {
  int symbol = -1;
  std::string member;         // empty: the name itself
  std::vector<Target> parts;  // not empty: a tuple; the fields above are unused
};

struct Statement;
using Body = std::vector<Statement>;

struct Text {
  std::string text;
};
struct Print {
  ExpressionPtr value;
};
struct If {
  std::vector<std::pair<ExpressionPtr, Body>> branches;
  Body otherwise;
};
struct For {
  Target target;
  ExpressionPtr iterable;
  ExpressionPtr condition;  // may be null
  bool recursive;
  Body body, otherwise;
};
struct Break {};
struct Continue {};
struct Set {
  Target target;
  ExpressionPtr value;
};
struct SetBlock {
  Target target;
  ExpressionPtr filter;  // may be null
  Body body;
};
struct FilterBlock {
  ExpressionPtr filter;
  Body body;
};
struct With {
  std::vector<std::pair<Target, ExpressionPtr>> variables;
  Body body;
};
// A body in a scope of its own that prints in place: `{% generation %}`.
struct Scoped {
  Body body;
};
struct Parameter {
  std::string name;
  int symbol;
  ExpressionPtr fallback;  // may be null: undefined
};
struct MacroBody {
  std::string name;
  std::vector<Parameter> parameters;
  Body body;
  bool takes_extra_positional;  // the body names `varargs`
  bool takes_extra_named;       // the body names `kwargs`
  bool takes_caller;            // the body names `caller`
};
struct Macro {
  int symbol;
  std::unique_ptr<MacroBody> macro;
};
struct CallBlock {
  ExpressionPtr call;
  std::unique_ptr<MacroBody> caller;
};

struct Statement {
  int line;
  std::variant<Text, Print, If, For, Break, Continue, Set, SetBlock, FilterBlock, With, Scoped, Macro, CallBlock> node;
};

struct Template {
  Body body;
  std::vector<std::string> symbols;  // every name the template uses, by number
};

}  // namespace caudal::jinja::ast
