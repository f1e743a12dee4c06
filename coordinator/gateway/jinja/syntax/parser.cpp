#include "coordinator/gateway/jinja/syntax/parser.h"

#include <algorithm>

#include "coordinator/gateway/jinja/value/error.h"

namespace caudal::jinja {
namespace {

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::kData:
      return "text";
    case TokenKind::kBlockBegin:
      return "'{%'";
    case TokenKind::kBlockEnd:
      return "end of the tag";
    case TokenKind::kVariableBegin:
      return "'{{'";
    case TokenKind::kVariableEnd:
      return "end of the expression";
    case TokenKind::kString:
      return "a string";
    case TokenKind::kEnd:
      return "end of the template";
    default:
      return "'" + token.text.substr(0, 40) + "'";
  }
}

bool is_constant(std::string_view name) {
  static constexpr std::string_view kConstants[] = {"true", "false", "none", "True", "False", "None"};
  return std::find(std::begin(kConstants), std::end(kConstants), name) != std::end(kConstants);
}

}  // namespace

Parser::Nesting::Nesting(int& depth, int line) : depth_(depth) {
  if (depth >= kMaxNesting) fail("the chat template nests too deeply", line);
  ++depth_;
}

// --- Tokens ---

const Token& Parser::take() {
  const Token& token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool Parser::skip_symbol(std::string_view text) {
  if (!at_symbol(text)) return false;
  take();
  return true;
}

bool Parser::skip_name(std::string_view text) {
  if (!at_name(text)) return false;
  take();
  return true;
}

void Parser::unexpected(std::string_view wanted) const {
  fail("expected " + std::string(wanted) + ", got " + describe(current()), current().line);
}

void Parser::expect(TokenKind kind, const char* what) {
  if (!at(kind)) unexpected(what);
  take();
}

void Parser::expect_symbol(std::string_view text) {
  if (!skip_symbol(text)) unexpected("'" + std::string(text) + "'");
}

void Parser::expect_name(std::string_view text) {
  if (!skip_name(text)) unexpected("'" + std::string(text) + "'");
}

std::string Parser::take_name() {
  if (!at(TokenKind::kName)) unexpected("a name");
  return take().text;
}

std::string Parser::dotted_name() {
  std::string name = take_name();
  while (skip_symbol(".")) name += "." + take_name();
  return name;
}

int Parser::symbol(const std::string& name) {
  const auto [entry, is_new] = symbol_ids_.try_emplace(name, static_cast<int>(symbols_.size()));
  if (is_new) symbols_.push_back(name);
  return entry->second;
}

// --- Statements ---

ast::Template Parser::run() {
  ast::Template result;
  result.body = body({});
  if (!at(TokenKind::kEnd)) unexpected("end of the template");
  result.symbols = std::move(symbols_);
  return result;
}

ast::Body Parser::body(const EndNames& end_names) {
  const Nesting nesting(statement_depth_, current().line);
  ast::Body result;
  while (!at(TokenKind::kEnd)) {
    if (at(TokenKind::kBlockBegin) && ahead().kind == TokenKind::kName &&
        std::find(end_names.begin(), end_names.end(), ahead().text) != end_names.end()) {
      take();
      return result;
    }
    result.push_back(statement());
  }
  if (!end_names.empty()) unexpected("'" + std::string(end_names.back()) + "'");
  return result;
}

ast::Body Parser::block(const EndNames& end_names) {
  skip_symbol(":");
  expect(TokenKind::kBlockEnd, "end of the tag");
  return body(end_names);
}

ast::Statement Parser::statement() {
  const int line = current().line;
  if (at(TokenKind::kData)) return {line, ast::Text{take().text}};
  if (at(TokenKind::kVariableBegin)) {
    take();
    ast::Statement print{line, ast::Print{tuple(true)}};
    expect(TokenKind::kVariableEnd, "end of the expression");
    return print;
  }
  expect(TokenKind::kBlockBegin, "a tag");
  ast::Statement result = tag();
  expect(TokenKind::kBlockEnd, "end of the tag");
  return result;
}

ast::Statement Parser::tag() {
  const int line = current().line;
  const std::string name = take_name();
  if (name == "if") return if_tag(line);
  if (name == "for") return for_tag(line);
  if (name == "set") return set_tag(line);
  if (name == "break" || name == "continue") return loop_control(line, name);
  if (name == "macro") return macro_tag(line);
  if (name == "call") return call_tag(line);
  if (name == "filter") return filter_tag(line);
  if (name == "with") return with_tag(line);
  if (name == "generation") {
    ast::Statement scoped{line, ast::Scoped{block({"endgeneration"})}};
    take();
    return scoped;
  }
  if (name == "include" || name == "import" || name == "from" || name == "extends" || name == "block") {
    fail("'" + name + "' is not allowed in a chat template", line);
  }
  fail("unknown tag '" + name.substr(0, 40) + "'", line);
}

ast::Statement Parser::if_tag(int line) {
  ast::If result;
  while (true) {
    auto condition = tuple(false);
    result.branches.emplace_back(std::move(condition), block({"elif", "else", "endif"}));
    const std::string next = take().text;
    if (next == "elif") continue;
    if (next == "else") {
      result.otherwise = block({"endif"});
      take();
    }
    return {line, std::move(result)};
  }
}

ast::Statement Parser::for_tag(int line) {
  ast::For loop;
  loop.target = target();
  expect_name("in");
  loop.iterable = tuple(false);
  if (skip_name("if")) loop.condition = expression();
  loop.recursive = skip_name("recursive");
  ++loop_depth_;
  loop.body = block({"else", "endfor"});
  --loop_depth_;
  if (take().text == "else") {
    loop.otherwise = block({"endfor"});
    take();
  }
  return {line, std::move(loop)};
}

ast::Statement Parser::loop_control(int line, std::string_view name) {
  if (loop_depth_ == 0) fail("'" + std::string(name) + "' outside of a loop", line);
  if (name == "break") return {line, ast::Break{}};
  return {line, ast::Continue{}};
}

ast::Statement Parser::set_tag(int line) {
  ast::Target where = target();
  if (skip_symbol("=")) return {line, ast::Set{std::move(where), tuple(true)}};
  ast::ExpressionPtr filter;
  if (skip_symbol("|")) filter = filters(nullptr);
  ast::SetBlock result{std::move(where), std::move(filter), block({"endset"})};
  take();
  return {line, std::move(result)};
}

ast::Statement Parser::filter_tag(int line) {
  auto filter = filters(nullptr);
  ast::FilterBlock result{std::move(filter), block({"endfilter"})};
  take();
  return {line, std::move(result)};
}

ast::Statement Parser::with_tag(int line) {
  ast::With result;
  while (!at(TokenKind::kBlockEnd)) {
    if (!result.variables.empty()) expect_symbol(",");
    ast::Target variable = target();
    expect_symbol("=");
    result.variables.emplace_back(std::move(variable), expression());
  }
  result.body = block({"endwith"});
  take();
  return {line, std::move(result)};
}

ast::Statement Parser::macro_tag(int line) {
  std::string name = take_name();
  const int id = symbol(name);
  return {line, ast::Macro{id, macro_body(std::move(name), true, "endmacro")}};
}

ast::Statement Parser::call_tag(int line) {
  const bool has_parameters = at_symbol("(");
  std::vector<ast::Parameter> caller_parameters;
  if (has_parameters) caller_parameters = parameters();
  auto call = expression();
  if (!std::holds_alternative<ast::Call>(call->node)) fail("'call' needs a call", line);
  auto caller = macro_body("caller", false, "endcall");
  caller->parameters = std::move(caller_parameters);
  return {line, ast::CallBlock{std::move(call), std::move(caller)}};
}

std::vector<ast::Parameter> Parser::parameters() {
  std::vector<ast::Parameter> result;
  expect_symbol("(");
  while (!at_symbol(")")) {
    if (!result.empty()) expect_symbol(",");
    std::string name = take_name();
    if (is_constant(name)) fail("cannot assign to '" + name + "'", current().line);
    const int id = symbol(name);
    ast::ExpressionPtr fallback;
    if (skip_symbol("=")) {
      fallback = expression();
    } else if (!result.empty() && result.back().fallback) {
      fail("a parameter without default follows one with a default", current().line);
    }
    result.push_back({std::move(name), id, std::move(fallback)});
  }
  expect_symbol(")");
  return result;
}

std::unique_ptr<ast::MacroBody> Parser::macro_body(std::string name, bool has_parameters, std::string_view end_name) {
  auto macro = std::make_unique<ast::MacroBody>();
  macro->name = std::move(name);
  if (has_parameters) macro->parameters = parameters();
  const int outer_loops = std::exchange(loop_depth_, 0);
  open_macros_.push_back(macro.get());
  macro->body = block({end_name});
  open_macros_.pop_back();
  loop_depth_ = outer_loops;
  take();
  return macro;
}

void Parser::note_name(const std::string& name) {
  for (ast::MacroBody* macro : open_macros_) {
    if (name == "varargs") macro->takes_extra_positional = true;
    if (name == "kwargs") macro->takes_extra_named = true;
    if (name == "caller") macro->takes_caller = true;
  }
}

ast::Target Parser::single_target() {
  if (skip_symbol("(")) {
    ast::Target inner = target();
    expect_symbol(")");
    return inner;
  }
  const int line = current().line;
  const std::string name = take_name();
  if (is_constant(name)) fail("cannot assign to '" + name + "'", line);
  ast::Target result;
  result.symbol = symbol(name);
  if (skip_symbol(".")) result.member = take_name();
  return result;
}

ast::Target Parser::target() {
  const Nesting nesting(expression_depth_, current().line);
  ast::Target first = single_target();
  if (!at_symbol(",")) return first;
  ast::Target result;
  result.parts.push_back(std::move(first));
  while (skip_symbol(",") && at(TokenKind::kName) && !at_name("in")) result.parts.push_back(single_target());
  return result;
}

}  // namespace caudal::jinja
