// Runs a syntax tree: one Evaluator per rendering, used by one thread. Scopes follow Jinja's rules:
// the body of a loop, macro, call, with, filter or set block sees the outside and assigns to itself.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/gateway/jinja/syntax/ast.h"
#include "coordinator/gateway/jinja/value/budget.h"
#include "coordinator/gateway/jinja/value/calls.h"
#include "coordinator/gateway/jinja/value/value.h"

namespace caudal::jinja {

struct RenderInput {
  // The value of a context variable; none if there is no such variable. Asked once per name used.
  std::function<std::optional<Value>(const std::string& name)> variable;
  std::chrono::system_clock::time_point now;  // what strftime_now() formats, as UTC
  Limits limits;
};

// The variables of one block. Shared by the macros defined in it, which may be called later.
struct Scope {
  std::shared_ptr<Scope> parent;                 // null: the template itself
  std::vector<std::pair<int, Value>> variables;  // by symbol; a few, so searched in order

  const Value* find(int symbol) const;  // here or outside
  void set(int symbol, Value value);    // here
};
using ScopePtr = std::shared_ptr<Scope>;

class Evaluator {
 public:
  Evaluator(const ast::Template& source, const RenderInput& input);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  std::string run();  // throws TemplateError with a line

  // For the library of filters, tests, methods and functions.
  Budget& budget() { return budget_; }
  std::chrono::system_clock::time_point now() const { return input_.now; }
  Value call(const Value& callee, const Arguments& arguments);
  Value apply_filter(const std::string& name, const Value& input, const Arguments& arguments);
  bool apply_test(const std::string& name, const Value& value, const Arguments& arguments);
  Value subscript(const Value& object, const Value& index);  // object[index]
  Value new_namespace(std::vector<std::pair<std::string, Value>> members);

  Value call_macro(const ast::MacroBody& macro, const ScopePtr& definition, const Arguments& arguments);
  Value call_loop(const ast::For& loop, const ScopePtr& outside, const Value& iterable, int depth);

 private:
  enum class Flow { kNext, kBreakLoop, kContinueLoop };
  class Depth;
  class ScopeChange;

  // Statements (evaluator.cpp)
  Flow run_body(const ast::Body& body);
  Flow run_scoped(const ast::Body& body);
  std::string capture(const ast::Body& body);  // what the body prints, in a scope of its own
  void print(const Value& value);
  void run_loop(const ast::For& loop, const Value& iterable, int depth);
  std::vector<Value> loop_items(const ast::For& loop, const Value& iterable);
  void assign(const ast::Target& target, Value value);
  void bind_parameters(const ast::MacroBody& macro, const Arguments& arguments);
  Value make_macro(const ast::MacroBody& macro);
  Flow execute(const ast::Text& node);
  Flow execute(const ast::Print& node);
  Flow execute(const ast::If& node);
  Flow execute(const ast::For& node);
  Flow execute(const ast::Break&) { return Flow::kBreakLoop; }
  Flow execute(const ast::Continue&) { return Flow::kContinueLoop; }
  Flow execute(const ast::Set& node);
  Flow execute(const ast::SetBlock& node);
  Flow execute(const ast::FilterBlock& node);
  Flow execute(const ast::With& node);
  Flow execute(const ast::Scoped& node);
  Flow execute(const ast::Macro& node);
  Flow execute(const ast::CallBlock& node);

  // Expressions (evaluator_expressions.cpp)
  Value evaluate(const ast::Expression& expression);
  std::optional<Value> evaluate_optional(const ast::ExpressionPtr& expression);
  Arguments evaluate_arguments(const ast::CallArguments& arguments);
  Value attribute(const Value& object, const std::string& name);  // object.name; keeps &name
  Value filtered(const ast::Expression& filter, Value captured);  // a filter chain without input
  Value value_of(const ast::Literal& node) { return node.value; }
  Value value_of(const ast::Name& node);
  Value value_of(const ast::ListLiteral& node);
  Value value_of(const ast::DictLiteral& node);
  Value value_of(const ast::Attribute& node);
  Value value_of(const ast::Subscript& node);
  Value value_of(const ast::Slice& node);
  Value value_of(const ast::Call& node);
  Value value_of(const ast::Filter& node);
  Value value_of(const ast::Test& node);
  Value value_of(const ast::Unary& node);
  Value value_of(const ast::Arithmetic& node);
  Value value_of(const ast::Concat& node);
  Value value_of(const ast::Compare& node);
  Value value_of(const ast::Logic& node);
  Value value_of(const ast::Conditional& node);

  std::optional<int> symbol(std::string_view name) const;
  void set_if_used(const std::optional<int>& symbol, Value value);

  const ast::Template& source_;
  const RenderInput& input_;
  Budget budget_;
  std::vector<Value> context_;  // by symbol: the caller's variables and the global functions
  ScopePtr scope_;
  std::string* out_ = nullptr;
  Value captured_;  // what the filter chain of a filter or set block starts from
  int depth_ = 0;
  int call_depth_ = 0;
  int line_ = 0;
  std::optional<int> loop_symbol_, caller_symbol_, varargs_symbol_, kwargs_symbol_;
  // Both kept to break cycles at the end: a namespace can hold itself, a macro the scope it stands in.
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::vector<ScopePtr> captured_scopes_;
};

// Counts one level of evaluation while it lives.
class Evaluator::Depth {
 public:
  Depth(int& depth, int limit);
  ~Depth() { --depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  int& depth_;
};

// 64 calls into each other, and in all as many nested nodes as fit a fraction of a thread's stack.
inline constexpr int kMaxCallDepth = 64;
inline constexpr int kMaxEvaluationDepth = 1000;

}  // namespace caudal::jinja
