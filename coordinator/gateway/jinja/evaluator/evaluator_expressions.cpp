// Expressions: one function per node of the syntax tree.
#include <algorithm>

#include "coordinator/gateway/jinja/evaluator/evaluator.h"
#include "coordinator/gateway/jinja/evaluator/library.h"
#include "coordinator/gateway/jinja/evaluator/operators.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/text.h"

namespace caudal::jinja {
namespace {

// What a new value costs; attributes and names only point at old ones.
std::size_t bytes_of(const Value& value) {
  if (const std::string* text = value.text()) return text->size();
  if (const Sequence* sequence = value.as_sequence()) return sequence->items.size() * sizeof(Value);
  if (const Dict* dict = value.as_dict()) return dict->entries.size() * 2 * sizeof(Value);
  return 0;
}

Value method_of(const Value& object, const std::string& name) {
  const Function method = find_method(object, name);
  if (!method) return Value(Undefined{&name});
  return Value(std::static_pointer_cast<Callable>(std::make_shared<LibraryFunction>("method", method, object)));
}

void append_iterated(std::vector<Value>& out, const Value& iterable, Budget& budget) {
  std::vector<Value> items = iterate(iterable, budget);
  out.insert(out.end(), std::make_move_iterator(items.begin()), std::make_move_iterator(items.end()));
}

}  // namespace

Value Evaluator::evaluate(const ast::Expression& expression) {
  const Depth depth(depth_, kMaxEvaluationDepth);
  budget_.step();
  line_ = expression.line;
  return std::visit([&](const auto& node) { return value_of(node); }, expression.node);
}

std::optional<Value> Evaluator::evaluate_optional(const ast::ExpressionPtr& expression) {
  if (!expression) return std::nullopt;
  return evaluate(*expression);
}

Arguments Evaluator::evaluate_arguments(const ast::CallArguments& arguments) {
  Arguments result;
  for (const auto& value : arguments.positional) result.positional.push_back(evaluate(*value));
  for (const auto& [name, value] : arguments.named) result.named.emplace_back(name, evaluate(*value));
  if (const auto extra = evaluate_optional(arguments.extra_positional)) {
    append_iterated(result.positional, *extra, budget_);
  }
  if (const auto extra = evaluate_optional(arguments.extra_named)) {
    const Dict* dict = extra->as_dict();
    if (!dict) fail("the argument after '**' must be a mapping");
    for (const auto& [name, value] : dict->entries) {
      result.named.emplace_back(require_text(name, "an argument name"), value);
    }
  }
  return result;
}

Value Evaluator::filtered(const ast::Expression& filter, Value captured) {
  captured_ = std::move(captured);
  return evaluate(filter);
}

Value Evaluator::value_of(const ast::Name& node) {
  const Value* found = scope_->find(node.symbol);
  return found ? *found : context_[node.symbol];
}

Value Evaluator::value_of(const ast::ListLiteral& node) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const auto& item : node.items) items.push_back(evaluate(*item));
  return Value::sequence(node.kind, std::move(items));
}

Value Evaluator::value_of(const ast::DictLiteral& node) {
  std::vector<std::pair<Value, Value>> entries;
  const auto same_key = [&](const Value& key) {
    return [&](const auto& entry) { return equals(entry.first, key, budget_); };
  };
  for (const auto& [key_node, value_node] : node.entries) {
    Value key = evaluate(*key_node);
    find_key(Dict{}, key, budget_);  // refuses what cannot be a key
    Value value = evaluate(*value_node);
    const auto found = std::find_if(entries.begin(), entries.end(), same_key(key));
    if (found != entries.end()) {
      found->second = std::move(value);
    } else {
      entries.emplace_back(std::move(key), std::move(value));
    }
  }
  return Value::dict(std::move(entries));
}

Value Evaluator::value_of(const ast::Attribute& node) { return attribute(evaluate(*node.object), node.name); }

// A method first, then a key, as Jinja's `a.b`.
Value Evaluator::attribute(const Value& object, const std::string& name) {
  require_defined(object);
  if (const Namespace* members = object.as_namespace()) {
    const Value* member = members->find(name);
    return member ? *member : Value(Undefined{&name});
  }
  if (Callable* callable = object.as_callable()) {
    Value result = callable->attribute(*this, name);
    return result.is_undefined() ? Value(Undefined{&name}) : result;
  }
  const Dict* dict = object.as_dict();
  if (!dict || find_method(object, name)) return method_of(object, name);
  if (hidden_method(name)) return Value(Undefined{&name});
  budget_.work(dict->entries.size() * sizeof(Value));
  const Value* value = dict->find(name);
  return value ? *value : Value(Undefined{&name});
}

Value Evaluator::value_of(const ast::Subscript& node) {
  const Value object = evaluate(*node.object);
  const Value index = evaluate(*node.index);
  Value result = subscript(object, index);
  if (!result.is_undefined()) return result;
  // Name the missing key in later errors when the template spells it out.
  const auto* literal = std::get_if<ast::Literal>(&node.index->node);
  return literal ? Value(Undefined{literal->value.text()}) : result;
}

// A key or position first, then a method, as Jinja's `a['b']`; undefined when there is neither.
Value Evaluator::subscript(const Value& object, const Value& index) {
  require_defined(object);
  const Sequence* sequence = object.as_sequence();
  const std::string* text = object.text();
  if (const Dict* dict = object.as_dict()) {
    const bool hashable =
        !index.as_dict() && !(index.as_sequence() && index.as_sequence()->kind == SequenceKind::kList);
    if (const Value* value = hashable ? find_key(*dict, index, budget_) : nullptr) return *value;
  } else if (index.is_integral() && ((sequence && sequence->indexable()) || text)) {
    const auto size = static_cast<std::int64_t>(length(object));
    const std::int64_t position = index.integer() < 0 ? index.integer() + size : index.integer();
    if (position < 0 || position >= size) return {};
    if (sequence) return sequence->items[position];
    budget_.work(text->size());
    const std::size_t begin = byte_offset(*text, position);
    std::size_t end = begin;
    next_code_point(*text, end);
    return text->substr(begin, end - begin);
  }
  if (!index.text() || object.as_namespace() || object.as_callable()) return {};
  const Function method = find_method(object, *index.text());
  if (!method) return {};
  return Value(std::static_pointer_cast<Callable>(std::make_shared<LibraryFunction>("method", method, object)));
}

Value Evaluator::value_of(const ast::Slice& node) {
  const Value object = evaluate(*node.object);
  const auto start = evaluate_optional(node.start);
  const auto stop = evaluate_optional(node.stop);
  const auto step = evaluate_optional(node.step);
  return slice(object, {start ? &*start : nullptr, stop ? &*stop : nullptr, step ? &*step : nullptr}, budget_);
}

Value Evaluator::value_of(const ast::Call& node) {
  const Value callee = evaluate(*node.callee);
  return call(callee, evaluate_arguments(node.arguments));
}

Value Evaluator::call(const Value& callee, const Arguments& arguments) {
  require_defined(callee);
  Callable* callable = callee.as_callable();
  if (!callable) fail(std::string(type_name(callee)) + " is not callable");
  Value result = callable->call(*this, arguments);
  budget_.allocate(bytes_of(result));
  return result;
}

Value Evaluator::value_of(const ast::Filter& node) {
  const Value input = node.input ? evaluate(*node.input) : std::exchange(captured_, Value());
  return apply_filter(node.name, input, evaluate_arguments(node.arguments));
}

Value Evaluator::apply_filter(const std::string& name, const Value& input, const Arguments& arguments) {
  const Function filter = find_filter(name);
  if (!filter) fail("there is no filter '" + name + "'");
  Value result = filter(*this, input, arguments);
  budget_.allocate(bytes_of(result));
  return result;
}

Value Evaluator::value_of(const ast::Test& node) {
  const Value value = evaluate(*node.input);
  return apply_test(node.name, value, evaluate_arguments(node.arguments));
}

bool Evaluator::apply_test(const std::string& name, const Value& value, const Arguments& arguments) {
  const Predicate test = find_test(name);
  if (!test) fail("there is no test '" + name + "'");
  return test(*this, value, arguments);
}

Value Evaluator::value_of(const ast::Unary& node) { return unary(node.op, evaluate(*node.operand)); }

Value Evaluator::value_of(const ast::Arithmetic& node) {
  Value result = evaluate(*node.first);
  for (const auto& [op, operand] : node.rest) result = arithmetic(op, result, evaluate(*operand), budget_);
  return result;
}

Value Evaluator::value_of(const ast::Concat& node) {
  std::string text;
  for (const auto& part : node.parts) append_text(text, evaluate(*part), budget_);
  return text;
}

// a < b < c is a < b and b < c, each operand evaluated once.
Value Evaluator::value_of(const ast::Compare& node) {
  Value left = evaluate(*node.first);
  for (const auto& [op, operand] : node.rest) {
    Value right = evaluate(*operand);
    if (!compare(op, left, right, budget_)) return false;
    left = std::move(right);
  }
  return true;
}

Value Evaluator::value_of(const ast::Logic& node) {
  Value result;
  for (const auto& operand : node.operands) {
    result = evaluate(*operand);
    if (truthy(result) != node.is_and) break;
  }
  return result;
}

Value Evaluator::value_of(const ast::Conditional& node) {
  if (truthy(evaluate(*node.condition))) return evaluate(*node.then);
  return node.otherwise ? evaluate(*node.otherwise) : Value();
}

}  // namespace caudal::jinja
