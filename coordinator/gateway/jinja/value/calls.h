// Calling things: evaluated arguments, matching them to parameters, and the callables that are not
// the evaluator's own (library functions, bound methods).
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/gateway/jinja/value/value.h"

namespace caudal::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Arguments by parameter. Fails on surplus, unknown, doubly given and missing required ones.
class Bound {
 public:
  Bound(const Arguments& arguments, std::initializer_list<std::string_view> names, std::size_t num_required = 0);

  const Value* operator[](std::size_t parameter) const { return values_[parameter]; }  // null: not given
  Value value(std::size_t parameter, const Value& fallback) const;
  bool flag(std::size_t parameter, bool fallback) const;
  std::int64_t integer(std::size_t parameter, std::int64_t fallback) const;  // fails for other kinds
  const std::string& text(std::size_t parameter) const;                      // given, and a string, or fails

 private:
  std::vector<const Value*> values_;
};

// A filter, a method or a global function of the library. `input` is what stands before the `|` or
// the `.`; undefined for a global function.
using Function = Value (*)(Evaluator& evaluator, const Value& input, const Arguments& arguments);

struct NamedFunction {
  std::string_view name;
  Function function;
};

class LibraryFunction : public Callable {
 public:
  LibraryFunction(std::string_view name, Function function, Value input = {})
      : name_(name), function_(function), input_(std::move(input)) {}

  Value call(Evaluator& evaluator, const Arguments& arguments) override {
    return function_(evaluator, input_, arguments);
  }
  std::string description() const override { return "<function " + std::string(name_) + ">"; }

 private:
  std::string_view name_;
  Function function_;
  Value input_;
};

// "'x' is undefined" for an undefined operand; returns for any other.
void require_defined(const Value& value);
std::int64_t require_integer(const Value& value, const char* what);
const std::string& require_text(const Value& value, const char* what);

}  // namespace caudal::jinja
