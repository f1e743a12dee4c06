// Tokens -> syntax tree, by recursive descent with Jinja's grammar and precedences. Nesting is
// bounded, so no template can exhaust the stack here, in the evaluator or when the tree is freed.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/gateway/jinja/syntax/ast.h"
#include "coordinator/gateway/jinja/syntax/lexer.h"

namespace caudal::jinja {

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  ast::Template run();  // throws TemplateError with a line

 private:
  using EndNames = std::vector<std::string_view>;
  class Nesting;  // counts one level while it lives

  // Statements (parser.cpp)
  ast::Body body(const EndNames& end_names);   // up to, not including, a tag named by one of them
  ast::Body block(const EndNames& end_names);  // the rest of the current tag, then body()
  ast::Statement statement();
  ast::Statement tag();
  ast::Statement if_tag(int line);
  ast::Statement for_tag(int line);
  ast::Statement loop_control(int line, std::string_view name);
  ast::Statement set_tag(int line);
  ast::Statement filter_tag(int line);
  ast::Statement with_tag(int line);
  ast::Statement macro_tag(int line);
  ast::Statement call_tag(int line);
  std::vector<ast::Parameter> parameters();
  std::unique_ptr<ast::MacroBody> macro_body(std::string name, bool has_parameters, std::string_view end_name);
  ast::Target target();
  ast::Target single_target();
  void note_name(const std::string& name);

  // Expressions (parser_expressions.cpp)
  ast::ExpressionPtr tuple(bool with_conditional, bool may_be_empty = false);
  ast::ExpressionPtr expression();  // with `a if b else c`
  ast::ExpressionPtr logic_or();
  ast::ExpressionPtr logic_and();
  ast::ExpressionPtr logic_not();
  ast::ExpressionPtr comparison();
  bool comparison_operator(ast::CompareOperator& op);
  using Level = ast::ExpressionPtr (Parser::*)();
  using Operators = std::vector<std::pair<std::string_view, ast::BinaryOperator>>;
  ast::ExpressionPtr arithmetic(const Operators& operators, Level next);
  ast::ExpressionPtr sum();
  ast::ExpressionPtr concatenation();
  ast::ExpressionPtr term();
  ast::ExpressionPtr power();
  ast::ExpressionPtr unary_with_filters();
  ast::ExpressionPtr unary();
  ast::ExpressionPtr primary();
  ast::ExpressionPtr name_or_constant();
  ast::ExpressionPtr list_literal();
  ast::ExpressionPtr dict_literal();
  ast::ExpressionPtr postfix(ast::ExpressionPtr inner);
  ast::ExpressionPtr attribute(ast::ExpressionPtr object);
  ast::ExpressionPtr subscript(ast::ExpressionPtr object);
  ast::ExpressionPtr slice(int line, ast::ExpressionPtr object, ast::ExpressionPtr start);
  ast::ExpressionPtr filters_and_tests(ast::ExpressionPtr inner);
  ast::ExpressionPtr filters(ast::ExpressionPtr input);  // the current token begins a filter's name
  ast::ExpressionPtr test(ast::ExpressionPtr input);
  ast::CallArguments call_arguments();
  void call_argument(ast::CallArguments& arguments);
  bool at_tuple_end() const;
  ast::ExpressionPtr make(int line, ast::Node node);

  // Tokens
  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& take();
  bool at(TokenKind kind) const { return current().kind == kind; }
  bool at_symbol(std::string_view text) const { return at(TokenKind::kSymbol) && current().text == text; }
  bool at_name(std::string_view text) const { return at(TokenKind::kName) && current().text == text; }
  bool skip_symbol(std::string_view text);
  bool skip_name(std::string_view text);
  void expect(TokenKind kind, const char* what);
  void expect_symbol(std::string_view text);
  void expect_name(std::string_view text);
  std::string take_name();
  std::string dotted_name();
  [[noreturn]] void unexpected(std::string_view wanted) const;
  int symbol(const std::string& name);

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int statement_depth_ = 0;
  int expression_depth_ = 0;
  int loop_depth_ = 0;
  std::map<std::string, int, std::less<>> symbol_ids_;
  std::vector<std::string> symbols_;
  std::vector<ast::MacroBody*> open_macros_;
};

inline constexpr int kMaxNesting = 64;  // of statements, and of expressions

class Parser::Nesting {
 public:
  Nesting(int& depth, int line);
  ~Nesting() { --depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  int& depth_;
};

}  // namespace caudal::jinja
