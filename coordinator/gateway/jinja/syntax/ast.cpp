#include "coordinator/gateway/jinja/syntax/ast.h"

#include <algorithm>

namespace caudal::jinja::ast {
namespace {

// The greatest height among the children it is shown.
struct Tallest {
  int height = 0;

  void see(const ExpressionPtr& child) {
    if (child) height = std::max(height, child->height);
  }
  void see(const Expressions& children) {
    for (const auto& child : children) see(child);
  }
  template <typename Key>
  void see(const std::vector<std::pair<Key, ExpressionPtr>>& children) {
    for (const auto& child : children) see(child.second);
  }
  void see(const CallArguments& arguments) {
    see(arguments.positional);
    see(arguments.named);
    see(arguments.extra_positional);
    see(arguments.extra_named);
  }

  void operator()(const Literal&) {}
  void operator()(const Name&) {}
  void operator()(const ListLiteral& list) { see(list.items); }
  void operator()(const DictLiteral& dict) {
    for (const auto& [key, value] : dict.entries) {
      see(key);
      see(value);
    }
  }
  void operator()(const Attribute& attribute) { see(attribute.object); }
  void operator()(const Subscript& subscript) {
    see(subscript.object);
    see(subscript.index);
  }
  void operator()(const Slice& slice) {
    for (const auto* child : {&slice.object, &slice.start, &slice.stop, &slice.step}) see(*child);
  }
  void operator()(const Call& call) {
    see(call.callee);
    see(call.arguments);
  }
  void operator()(const Filter& filter) {
    see(filter.input);
    see(filter.arguments);
  }
  void operator()(const Test& test) {
    see(test.input);
    see(test.arguments);
  }
  void operator()(const Unary& unary) { see(unary.operand); }
  void operator()(const Arithmetic& chain) {
    see(chain.first);
    see(chain.rest);
  }
  void operator()(const Concat& concat) { see(concat.parts); }
  void operator()(const Compare& chain) {
    see(chain.first);
    see(chain.rest);
  }
  void operator()(const Logic& logic) { see(logic.operands); }
  void operator()(const Conditional& conditional) {
    for (const auto* child : {&conditional.condition, &conditional.then, &conditional.otherwise}) see(*child);
  }
};

}  // namespace

ExpressionPtr make(int line, Node node) {
  Tallest tallest;
  std::visit(tallest, node);
  return std::make_unique<Expression>(Expression{line, tallest.height + 1, std::move(node)});
}

}  // namespace caudal::jinja::ast
