// Expressions, from the loosest precedence to the tightest:
// conditional, or, and, not, comparison, + -, ~, * / // %, **, unary, then filters and tests.
#include <charconv>
#include <cstdlib>

#include "coordinator/gateway/jinja/syntax/parser.h"
#include "coordinator/gateway/jinja/value/error.h"

namespace caudal::jinja {

using ast::ExpressionPtr;

ExpressionPtr Parser::make(int line, ast::Node node) {
  ExpressionPtr result = ast::make(line, std::move(node));
  if (result->height > kMaxNesting) fail("an expression nests too deeply", line);
  return result;
}

bool Parser::at_tuple_end() const {
  return at(TokenKind::kVariableEnd) || at(TokenKind::kBlockEnd) || at_symbol(")") || at_name("recursive");
}

ExpressionPtr Parser::tuple(bool with_conditional, bool may_be_empty) {
  const int line = current().line;
  ast::Expressions items;
  bool is_tuple = false;
  while (!at_tuple_end()) {
    items.push_back(with_conditional ? expression() : logic_or());
    if (!skip_symbol(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return std::move(items.front());
  if (!is_tuple && !may_be_empty) unexpected("an expression");
  return make(line, ast::ListLiteral{SequenceKind::kTuple, std::move(items)});
}

ExpressionPtr Parser::expression() {
  const Nesting nesting(expression_depth_, current().line);
  const int line = current().line;
  ExpressionPtr result = logic_or();
  while (skip_name("if")) {
    ExpressionPtr condition = logic_or();
    ExpressionPtr otherwise;
    if (skip_name("else")) otherwise = expression();
    result = make(line, ast::Conditional{std::move(condition), std::move(result), std::move(otherwise)});
  }
  return result;
}

ExpressionPtr Parser::logic_or() {
  const int line = current().line;
  ExpressionPtr first = logic_and();
  if (!at_name("or")) return first;
  ast::Logic logic{false, {}};
  logic.operands.push_back(std::move(first));
  while (skip_name("or")) logic.operands.push_back(logic_and());
  return make(line, std::move(logic));
}

ExpressionPtr Parser::logic_and() {
  const int line = current().line;
  ExpressionPtr first = logic_not();
  if (!at_name("and")) return first;
  ast::Logic logic{true, {}};
  logic.operands.push_back(std::move(first));
  while (skip_name("and")) logic.operands.push_back(logic_not());
  return make(line, std::move(logic));
}

ExpressionPtr Parser::logic_not() {
  const int line = current().line;
  if (!skip_name("not")) return comparison();
  const Nesting nesting(expression_depth_, line);
  return make(line, ast::Unary{ast::UnaryOperator::kLogicalNot, logic_not()});
}

bool Parser::comparison_operator(ast::CompareOperator& op) {
  using enum ast::CompareOperator;
  static const std::vector<std::pair<std::string_view, ast::CompareOperator>> kOperators = {
      {"==", kEqual}, {"!=", kNotEqual}, {"<", kLess}, {"<=", kLessEqual}, {">", kGreater}, {">=", kGreaterEqual}};
  for (const auto& [text, value] : kOperators) {
    op = value;
    if (skip_symbol(text)) return true;
  }
  op = kIn;
  if (skip_name("in")) return true;
  op = kNotIn;
  if (!at_name("not") || ahead().kind != TokenKind::kName || ahead().text != "in") return false;
  take();
  take();
  return true;
}

ExpressionPtr Parser::comparison() {
  const int line = current().line;
  ast::Compare chain{sum(), {}};
  ast::CompareOperator op;
  while (comparison_operator(op)) chain.rest.emplace_back(op, sum());
  if (chain.rest.empty()) return std::move(chain.first);
  return make(line, std::move(chain));
}

ExpressionPtr Parser::arithmetic(const Operators& operators, Level next) {
  const int line = current().line;
  ast::Arithmetic chain{(this->*next)(), {}};
  for (std::size_t i = 0; i < operators.size();) {
    if (skip_symbol(operators[i].first)) {
      chain.rest.emplace_back(operators[i].second, (this->*next)());
      i = 0;
    } else {
      ++i;
    }
  }
  if (chain.rest.empty()) return std::move(chain.first);
  return make(line, std::move(chain));
}

ExpressionPtr Parser::sum() {
  static const Operators kOperators = {{"+", ast::BinaryOperator::kAdd}, {"-", ast::BinaryOperator::kSubtract}};
  return arithmetic(kOperators, &Parser::concatenation);
}

ExpressionPtr Parser::concatenation() {
  const int line = current().line;
  ExpressionPtr first = term();
  if (!at_symbol("~")) return first;
  ast::Concat concat;
  concat.parts.push_back(std::move(first));
  while (skip_symbol("~")) concat.parts.push_back(term());
  return make(line, std::move(concat));
}

ExpressionPtr Parser::term() {
  using enum ast::BinaryOperator;
  static const Operators kOperators = {{"*", kMultiply}, {"/", kDivide}, {"//", kFloorDivide}, {"%", kModulo}};
  return arithmetic(kOperators, &Parser::power);
}

ExpressionPtr Parser::power() {
  static const Operators kOperators = {{"**", ast::BinaryOperator::kPower}};
  return arithmetic(kOperators, &Parser::unary_with_filters);
}

ExpressionPtr Parser::unary_with_filters() { return filters_and_tests(unary()); }

ExpressionPtr Parser::unary() {
  const int line = current().line;
  const bool negative = at_symbol("-");
  if (!negative && !at_symbol("+")) return postfix(primary());
  const Nesting nesting(expression_depth_, line);
  take();
  const auto op = negative ? ast::UnaryOperator::kNegate : ast::UnaryOperator::kPlus;
  return postfix(make(line, ast::Unary{op, unary()}));
}

ExpressionPtr Parser::primary() {
  const int line = current().line;
  switch (current().kind) {
    case TokenKind::kName:
      return name_or_constant();
    case TokenKind::kString: {
      std::string text;
      while (at(TokenKind::kString)) text += take().text;
      return make(line, ast::Literal{Value(std::move(text))});
    }
    case TokenKind::kInteger: {
      const std::string& digits = take().text;
      std::int64_t number = 0;
      const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), number);
      if (result.ec != std::errc()) fail("an integer is too large", line);
      return make(line, ast::Literal{Value(number)});
    }
    case TokenKind::kReal:
      return make(line, ast::Literal{Value(std::strtod(take().text.c_str(), nullptr))});
    default:
      break;
  }
  if (at_symbol("[")) return list_literal();
  if (at_symbol("{")) return dict_literal();
  if (!skip_symbol("(")) unexpected("an expression");
  ExpressionPtr inner = tuple(true, true);
  expect_symbol(")");
  return inner;
}

ExpressionPtr Parser::name_or_constant() {
  const int line = current().line;
  const std::string name = take_name();
  if (name == "true" || name == "True") return make(line, ast::Literal{Value(true)});
  if (name == "false" || name == "False") return make(line, ast::Literal{Value(false)});
  if (name == "none" || name == "None") return make(line, ast::Literal{Value(None{})});
  note_name(name);
  return make(line, ast::Name{symbol(name)});
}

ExpressionPtr Parser::list_literal() {
  const int line = current().line;
  expect_symbol("[");
  ast::Expressions items;
  while (!at_symbol("]")) {
    if (!items.empty()) expect_symbol(",");
    if (at_symbol("]")) break;
    items.push_back(expression());
  }
  expect_symbol("]");
  return make(line, ast::ListLiteral{SequenceKind::kList, std::move(items)});
}

ExpressionPtr Parser::dict_literal() {
  const int line = current().line;
  expect_symbol("{");
  ast::DictLiteral dict;
  while (!at_symbol("}")) {
    if (!dict.entries.empty()) expect_symbol(",");
    if (at_symbol("}")) break;
    ExpressionPtr key = expression();
    expect_symbol(":");
    dict.entries.emplace_back(std::move(key), expression());
  }
  expect_symbol("}");
  return make(line, std::move(dict));
}

ExpressionPtr Parser::postfix(ExpressionPtr inner) {
  while (true) {
    const int line = current().line;
    if (at_symbol(".")) {
      inner = attribute(std::move(inner));
    } else if (at_symbol("[")) {
      inner = subscript(std::move(inner));
    } else if (at_symbol("(")) {
      inner = make(line, ast::Call{std::move(inner), call_arguments()});
    } else {
      return inner;
    }
  }
}

ExpressionPtr Parser::attribute(ExpressionPtr object) {
  const int line = take().line;
  if (at(TokenKind::kInteger)) return make(line, ast::Subscript{std::move(object), primary()});
  return make(line, ast::Attribute{std::move(object), take_name()});
}

ExpressionPtr Parser::subscript(ExpressionPtr object) {
  const int line = take().line;
  if (at_symbol(":")) return slice(line, std::move(object), nullptr);
  ExpressionPtr index = expression();
  if (at_symbol(":")) return slice(line, std::move(object), std::move(index));
  if (at_symbol(",")) {
    ast::ListLiteral key{SequenceKind::kTuple, {}};
    key.items.push_back(std::move(index));
    while (skip_symbol(",") && !at_symbol("]")) key.items.push_back(expression());
    index = make(line, std::move(key));
  }
  expect_symbol("]");
  return make(line, ast::Subscript{std::move(object), std::move(index)});
}

ExpressionPtr Parser::slice(int line, ExpressionPtr object, ExpressionPtr start) {
  ast::Slice result{std::move(object), std::move(start), nullptr, nullptr};
  expect_symbol(":");
  if (!at_symbol(":") && !at_symbol("]")) result.stop = expression();
  if (skip_symbol(":") && !at_symbol("]")) result.step = expression();
  expect_symbol("]");
  return make(line, std::move(result));
}

ExpressionPtr Parser::filters_and_tests(ExpressionPtr inner) {
  while (true) {
    const int line = current().line;
    if (skip_symbol("|")) {
      inner = filters(std::move(inner));
    } else if (skip_name("is")) {
      inner = test(std::move(inner));
    } else if (at_symbol("(")) {
      inner = make(line, ast::Call{std::move(inner), call_arguments()});
    } else {
      return inner;
    }
  }
}

ExpressionPtr Parser::filters(ExpressionPtr input) {
  do {
    const int line = current().line;
    ast::Filter filter{std::move(input), dotted_name(), {}};
    if (at_symbol("(")) filter.arguments = call_arguments();
    input = make(line, std::move(filter));
  } while (skip_symbol("|"));
  return input;
}

// `x is [not] name`, `x is name(...)` or `x is name argument`.
ExpressionPtr Parser::test(ExpressionPtr input) {
  const int line = current().line;
  const bool negated = skip_name("not");
  ast::Test result{std::move(input), dotted_name(), {}};
  const bool at_operand = at(TokenKind::kName) || at(TokenKind::kString) || at(TokenKind::kInteger) ||
                          at(TokenKind::kReal) || at_symbol("[") || at_symbol("{");
  if (at_symbol("(")) {
    result.arguments = call_arguments();
  } else if (at_name("is")) {
    fail("tests cannot be chained with 'is'", line);
  } else if (at_operand && !at_name("else") && !at_name("or") && !at_name("and")) {
    result.arguments.positional.push_back(postfix(primary()));
  }
  ExpressionPtr expression = make(line, std::move(result));
  if (!negated) return expression;
  return make(line, ast::Unary{ast::UnaryOperator::kLogicalNot, std::move(expression)});
}

ast::CallArguments Parser::call_arguments() {
  ast::CallArguments result;
  expect_symbol("(");
  bool first = true;
  while (!at_symbol(")")) {
    if (!first) expect_symbol(",");
    first = false;
    if (!at_symbol(")")) call_argument(result);
  }
  expect_symbol(")");
  return result;
}

void Parser::call_argument(ast::CallArguments& arguments) {
  const int line = current().line;
  if (skip_symbol("**")) {
    if (arguments.extra_named) fail("more than one '**' in a call", line);
    arguments.extra_named = expression();
  } else if (skip_symbol("*")) {
    if (arguments.extra_positional || arguments.extra_named) fail("misplaced '*' in a call", line);
    arguments.extra_positional = expression();
  } else if (at(TokenKind::kName) && ahead().kind == TokenKind::kSymbol && ahead().text == "=") {
    std::string name = take_name();
    take();
    if (arguments.extra_named) fail("an argument follows '**'", line);
    arguments.named.emplace_back(std::move(name), expression());
  } else {
    if (!arguments.named.empty() || arguments.extra_positional || arguments.extra_named) {
      fail("a positional argument follows a named one", line);
    }
    arguments.positional.push_back(expression());
  }
}

}  // namespace caudal::jinja
