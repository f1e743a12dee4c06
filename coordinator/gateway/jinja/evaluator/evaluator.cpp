// Statements, scopes and calls.
#include "coordinator/gateway/jinja/evaluator/evaluator.h"

#include <algorithm>

#include "coordinator/gateway/jinja/evaluator/library.h"
#include "coordinator/gateway/jinja/evaluator/loop.h"
#include "coordinator/gateway/jinja/value/error.h"

namespace caudal::jinja {
namespace {

class MacroFunction : public Callable {
 public:
  MacroFunction(const ast::MacroBody& macro, ScopePtr definition) : macro_(macro), definition_(std::move(definition)) {}

  Value call(Evaluator& evaluator, const Arguments& arguments) override {
    return evaluator.call_macro(macro_, definition_, arguments);
  }
  Value attribute(Evaluator&, std::string_view name) override { return name == "name" ? Value(macro_.name) : Value(); }
  std::string description() const override { return "<Macro '" + macro_.name + "'>"; }

 private:
  const ast::MacroBody& macro_;
  ScopePtr definition_;
};

}  // namespace

// Makes another scope (by default a new one inside the current) the current one while it lives.
class Evaluator::ScopeChange {
 public:
  ScopeChange(ScopePtr& current, ScopePtr parent)
      : current_(current), saved_(std::exchange(current, std::make_shared<Scope>(Scope{std::move(parent), {}}))) {}
  explicit ScopeChange(ScopePtr& current) : ScopeChange(current, current) {}
  ~ScopeChange() { current_ = std::move(saved_); }
  ScopeChange(const ScopeChange&) = delete;
  ScopeChange& operator=(const ScopeChange&) = delete;

 private:
  ScopePtr& current_;
  ScopePtr saved_;
};

const Value* Scope::find(int symbol) const {
  for (const Scope* scope = this; scope; scope = scope->parent.get()) {
    for (const auto& [name, value] : scope->variables) {
      if (name == symbol) return &value;
    }
  }
  return nullptr;
}

void Scope::set(int symbol, Value value) {
  for (auto& [name, old] : variables) {
    if (name == symbol) {
      old = std::move(value);
      return;
    }
  }
  variables.emplace_back(symbol, std::move(value));
}

Evaluator::Depth::Depth(int& depth, int limit) : depth_(depth) {
  if (depth >= limit) fail("the chat template calls itself too deeply");
  ++depth_;
}

Evaluator::Evaluator(const ast::Template& source, const RenderInput& input)
    : source_(source), input_(input), budget_(input.limits), scope_(std::make_shared<Scope>()) {
  for (const std::string& name : source.symbols) {
    std::optional<Value> value = input.variable(name);
    if (!value) value = find_global(name);
    context_.push_back(value ? *value : Value(Undefined{&name}));
  }
  loop_symbol_ = symbol("loop");
  caller_symbol_ = symbol("caller");
  varargs_symbol_ = symbol("varargs");
  kwargs_symbol_ = symbol("kwargs");
}

Evaluator::~Evaluator() {
  for (const auto& object : namespaces_) object->members.clear();
  for (const auto& scope : captured_scopes_) scope->variables.clear();
}

std::optional<int> Evaluator::symbol(std::string_view name) const {
  const auto found = std::find(source_.symbols.begin(), source_.symbols.end(), name);
  if (found == source_.symbols.end()) return std::nullopt;
  return static_cast<int>(found - source_.symbols.begin());
}

void Evaluator::set_if_used(const std::optional<int>& symbol, Value value) {
  if (symbol) scope_->set(*symbol, std::move(value));
}

std::string Evaluator::run() {
  std::string out;
  out_ = &out;
  try {
    run_body(source_.body);
  } catch (TemplateError& error) {
    if (error.line == 0) error.line = line_;
    throw;
  }
  return out;
}

Evaluator::Flow Evaluator::run_body(const ast::Body& body) {
  const Depth depth(depth_, kMaxEvaluationDepth);
  for (const ast::Statement& statement : body) {
    budget_.step();
    line_ = statement.line;
    const Flow flow = std::visit([&](const auto& node) { return execute(node); }, statement.node);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Evaluator::Flow Evaluator::run_scoped(const ast::Body& body) {
  const ScopeChange inner(scope_);
  return run_body(body);
}

std::string Evaluator::capture(const ast::Body& body) {
  std::string text;
  std::string* outer = std::exchange(out_, &text);
  run_scoped(body);
  out_ = outer;
  return text;
}

void Evaluator::print(const Value& value) { append_text(*out_, value, budget_); }

Evaluator::Flow Evaluator::execute(const ast::Text& node) {
  budget_.output(out_->size() + node.text.size());
  budget_.work(node.text.size());
  *out_ += node.text;
  return Flow::kNext;
}

Evaluator::Flow Evaluator::execute(const ast::Print& node) {
  print(evaluate(*node.value));
  return Flow::kNext;
}

Evaluator::Flow Evaluator::execute(const ast::If& node) {
  for (const auto& [condition, body] : node.branches) {
    if (truthy(evaluate(*condition))) return run_body(body);
  }
  return run_body(node.otherwise);
}

Evaluator::Flow Evaluator::execute(const ast::For& node) {
  run_loop(node, evaluate(*node.iterable), 0);
  return Flow::kNext;
}

// The items to visit: all, or those that pass the loop's own condition.
std::vector<Value> Evaluator::loop_items(const ast::For& loop, const Value& iterable) {
  std::vector<Value> items = iterate(iterable, budget_);
  if (!loop.condition) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    const ScopeChange inner(scope_);
    assign(loop.target, item);
    if (truthy(evaluate(*loop.condition))) kept.push_back(std::move(item));
  }
  return kept;
}

void Evaluator::run_loop(const ast::For& loop, const Value& iterable, int depth) {
  const auto state = std::make_shared<Loop>(loop, scope_, loop_items(loop, iterable), depth);
  bool completed = false;
  for (std::size_t i = 0; i < state->size(); ++i) {
    budget_.step();
    const ScopeChange inner(scope_);
    set_if_used(loop_symbol_, Value(std::static_pointer_cast<Callable>(state)));
    assign(loop.target, state->enter(i));
    const Flow flow = run_body(loop.body);
    if (flow == Flow::kBreakLoop) break;
    completed = completed || flow == Flow::kNext;
  }
  // Jinja's rule: also when break or continue cut every iteration short.
  if (!completed) run_scoped(loop.otherwise);
}

Value Evaluator::call_loop(const ast::For& loop, const ScopePtr& outside, const Value& iterable, int depth) {
  const Depth call_depth(call_depth_, kMaxCallDepth);
  std::string text;
  std::string* outer = std::exchange(out_, &text);
  {
    const ScopeChange inner(scope_, outside);
    run_loop(loop, iterable, depth);
  }
  out_ = outer;
  return text;
}

void Evaluator::assign(const ast::Target& target, Value value) {
  if (!target.parts.empty()) {
    const std::vector<Value> items = iterate(value, budget_);
    if (items.size() != target.parts.size()) fail("cannot unpack a value: wrong number of items");
    for (std::size_t i = 0; i < items.size(); ++i) assign(target.parts[i], items[i]);
    return;
  }
  if (target.member.empty()) return scope_->set(target.symbol, std::move(value));
  const Value* found = scope_->find(target.symbol);
  Namespace* object = found ? found->as_namespace() : nullptr;
  if (!object) fail("cannot assign to an attribute of anything but a namespace");
  object->set(target.member, std::move(value));
}

Evaluator::Flow Evaluator::execute(const ast::Set& node) {
  assign(node.target, evaluate(*node.value));
  return Flow::kNext;
}

Evaluator::Flow Evaluator::execute(const ast::SetBlock& node) {
  Value text = capture(node.body);
  assign(node.target, node.filter ? filtered(*node.filter, std::move(text)) : std::move(text));
  return Flow::kNext;
}

Evaluator::Flow Evaluator::execute(const ast::FilterBlock& node) {
  print(filtered(*node.filter, capture(node.body)));
  return Flow::kNext;
}

Evaluator::Flow Evaluator::execute(const ast::With& node) {
  std::vector<Value> values;
  values.reserve(node.variables.size());
  for (const auto& variable : node.variables) values.push_back(evaluate(*variable.second));
  const ScopeChange inner(scope_);
  for (std::size_t i = 0; i < values.size(); ++i) assign(node.variables[i].first, std::move(values[i]));
  return run_body(node.body);
}

Evaluator::Flow Evaluator::execute(const ast::Scoped& node) { return run_scoped(node.body); }

Value Evaluator::make_macro(const ast::MacroBody& macro) {
  if (captured_scopes_.empty() || captured_scopes_.back() != scope_) captured_scopes_.push_back(scope_);
  return Value(std::static_pointer_cast<Callable>(std::make_shared<MacroFunction>(macro, scope_)));
}

Evaluator::Flow Evaluator::execute(const ast::Macro& node) {
  scope_->set(node.symbol, make_macro(*node.macro));
  return Flow::kNext;
}

Evaluator::Flow Evaluator::execute(const ast::CallBlock& node) {
  const auto& call = std::get<ast::Call>(node.call->node);
  const Value callee = evaluate(*call.callee);
  Arguments arguments = evaluate_arguments(call.arguments);
  arguments.named.emplace_back("caller", make_macro(*node.caller));
  print(this->call(callee, arguments));
  return Flow::kNext;
}

// Gives every parameter its value in the current scope, and surplus arguments to the names that
// take them, as Jinja's macros do.
void Evaluator::bind_parameters(const ast::MacroBody& macro, const Arguments& arguments) {
  auto named = arguments.named;
  const auto take_named = [&](std::string_view name) -> std::optional<Value> {
    const auto found = std::find_if(named.begin(), named.end(), [&](const auto& x) { return x.first == name; });
    if (found == named.end()) return std::nullopt;
    Value value = std::move(found->second);
    named.erase(found);
    return value;
  };
  const std::size_t num_parameters = macro.parameters.size();
  for (std::size_t i = 0; i < num_parameters; ++i) {
    const ast::Parameter& parameter = macro.parameters[i];
    std::optional<Value> value;
    if (i < arguments.positional.size()) {
      value = arguments.positional[i];
    } else {
      value = take_named(parameter.name);
    }
    if (!value && parameter.fallback) value = evaluate(*parameter.fallback);
    scope_->set(parameter.symbol, value ? *value : Value(Undefined{&parameter.name}));
  }
  if (macro.takes_caller) set_if_used(caller_symbol_, take_named("caller").value_or(Value()));
  std::vector<Value> surplus;
  for (std::size_t i = num_parameters; i < arguments.positional.size(); ++i) surplus.push_back(arguments.positional[i]);
  if (!surplus.empty() && !macro.takes_extra_positional) fail("macro '" + macro.name + "' got too many arguments");
  if (!named.empty() && !macro.takes_extra_named) {
    fail("macro '" + macro.name + "' takes no argument '" + named.front().first + "'");
  }
  if (macro.takes_extra_positional) {
    set_if_used(varargs_symbol_, Value::sequence(SequenceKind::kTuple, std::move(surplus)));
  }
  if (!macro.takes_extra_named) return;
  std::vector<std::pair<Value, Value>> entries;
  entries.reserve(named.size());
  for (auto& [name, value] : named) entries.emplace_back(Value(name), std::move(value));
  set_if_used(kwargs_symbol_, Value::dict(std::move(entries)));
}

Value Evaluator::call_macro(const ast::MacroBody& macro, const ScopePtr& definition, const Arguments& arguments) {
  const Depth call_depth(call_depth_, kMaxCallDepth);
  std::string text;
  std::string* outer = std::exchange(out_, &text);
  {
    const ScopeChange inner(scope_, definition);
    bind_parameters(macro, arguments);
    run_body(macro.body);
  }
  out_ = outer;
  return text;
}

Value Evaluator::new_namespace(std::vector<std::pair<std::string, Value>> members) {
  auto object = std::make_shared<Namespace>(Namespace{std::move(members)});
  namespaces_.push_back(object);
  return Value(std::move(object));
}

}  // namespace caudal::jinja
