// The `loop` variable inside a `for`: counters, neighbours, cycle(), changed(), and calling itself in
// a recursive loop.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "coordinator/gateway/jinja/evaluator/evaluator.h"

namespace caudal::jinja {

class Loop : public Callable, public std::enable_shared_from_this<Loop> {
 public:
  // `outside` is the scope around the loop; `depth` counts recursive calls from 0.
  Loop(const ast::For& source, ScopePtr outside, std::vector<Value> items, int depth)
      : source_(source), outside_(std::move(outside)), items_(std::move(items)), depth_(depth) {}

  std::size_t size() const { return items_.size(); }
  const Value& enter(std::size_t index);  // makes items[index] the current one

  Value call(Evaluator& evaluator, const Arguments& arguments) override;
  Value attribute(Evaluator& evaluator, std::string_view name) override;
  std::string description() const override;

  Value cycle(const Arguments& arguments) const;
  bool changed(Evaluator& evaluator, const Arguments& arguments);

 private:
  const ast::For& source_;
  ScopePtr outside_;
  std::vector<Value> items_;
  // Arguments of the last changed(), as printed: held as values, they could hold this loop itself.
  std::optional<std::string> last_seen_;
  std::size_t index_ = 0;
  int depth_;
};

}  // namespace caudal::jinja
