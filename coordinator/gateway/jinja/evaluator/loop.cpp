#include "coordinator/gateway/jinja/evaluator/loop.h"

#include "coordinator/gateway/jinja/value/error.h"

namespace caudal::jinja {
namespace {

Loop& self(const Value& input) { return static_cast<Loop&>(*input.as_callable()); }

}  // namespace

const Value& Loop::enter(std::size_t index) {
  index_ = index;
  return items_[index];
}

Value Loop::call(Evaluator& evaluator, const Arguments& arguments) {
  const Bound bound(arguments, {"iterable"}, 1);
  if (!source_.recursive) fail("only a loop marked 'recursive' can be called");
  return evaluator.call_loop(source_, outside_, *bound[0], depth_ + 1);
}

Value Loop::attribute(Evaluator&, std::string_view name) {
  const std::size_t num_items = items_.size();
  if (name == "index") return index_ + 1;
  if (name == "index0") return index_;
  if (name == "revindex") return num_items - index_;
  if (name == "revindex0") return num_items - index_ - 1;
  if (name == "first") return index_ == 0;
  if (name == "last") return index_ + 1 == num_items;
  if (name == "length") return num_items;
  if (name == "depth") return depth_ + 1;
  if (name == "depth0") return depth_;
  if (name == "previtem") return index_ > 0 ? items_[index_ - 1] : Value();
  if (name == "nextitem") return index_ + 1 < num_items ? items_[index_ + 1] : Value();
  const Value me(std::static_pointer_cast<Callable>(shared_from_this()));
  if (name == "cycle") {
    const Function function = [](Evaluator&, const Value& input, const Arguments& arguments) {
      return self(input).cycle(arguments);
    };
    return Value(std::make_shared<LibraryFunction>("cycle", function, me));
  }
  if (name == "changed") {
    const Function function = [](Evaluator& evaluator, const Value& input, const Arguments& arguments) {
      return Value(self(input).changed(evaluator, arguments));
    };
    return Value(std::make_shared<LibraryFunction>("changed", function, me));
  }
  return {};
}

std::string Loop::description() const {
  return "<LoopContext " + std::to_string(index_ + 1) + "/" + std::to_string(items_.size()) + ">";
}

Value Loop::cycle(const Arguments& arguments) const {
  if (arguments.positional.empty()) fail("loop.cycle() needs a value");
  return arguments.positional[index_ % arguments.positional.size()];
}

bool Loop::changed(Evaluator& evaluator, const Arguments& arguments) {
  std::string now;
  append_repr(now, Value::list(arguments.positional), evaluator.budget());
  if (last_seen_ == now) return false;
  last_seen_ = std::move(now);
  return true;
}

}  // namespace caudal::jinja
