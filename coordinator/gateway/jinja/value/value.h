// Values of the template language: plain immutable data, compared, ordered and printed as Python does.
// Only namespaces change after construction, so values are shared freely within one rendering and
// cannot form cycles except through a namespace (the evaluator empties those at its end).
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "coordinator/gateway/jinja/value/budget.h"

namespace caudal::jinja {

class Value;
class Evaluator;
struct Arguments;

// An unknown name or a missing attribute; prints as "". `name` points into the template's syntax tree.
struct Undefined {
  const std::string* name = nullptr;
};
struct None {};

enum class SequenceKind { kList, kTuple, kRange, kGenerator, kKeysView, kValuesView, kItemsView };

struct Sequence {
  SequenceKind kind;
  std::vector<Value> items;  // of a generator: emptied by the first loop over it
  int depth;                 // of nested containers, itself included

  bool indexable() const;  // list, tuple or range
};

// Insertion-ordered, as Python's dict and JSON objects are. Lookup is a linear scan: template
// objects have a handful of keys, and longer scans are charged to the budget.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  int depth = 1;

  const Value* find(std::string_view key) const;
};

// `namespace(...)`: the one object a template can assign to.
struct Namespace {
  std::vector<std::pair<std::string, Value>> members;

  const Value* find(std::string_view name) const;
  void set(std::string_view name, Value value);
};

// Functions, bound methods, macros and the `loop` object.
class Callable {
 public:
  virtual ~Callable() = default;
  virtual Value call(Evaluator& evaluator, const Arguments& arguments) = 0;
  virtual Value attribute(Evaluator& evaluator, std::string_view name);  // default: undefined
  virtual std::string description() const = 0;
};

class Value {
 public:
  using Text = std::shared_ptr<const std::string>;
  using Storage = std::variant<Undefined, None, bool, std::int64_t, double, Text, std::shared_ptr<Sequence>,
                               std::shared_ptr<const Dict>, std::shared_ptr<Namespace>, std::shared_ptr<Callable>>;

  Value() = default;
  Value(Undefined undefined) : storage_(undefined) {}
  Value(None none) : storage_(none) {}
  template <std::same_as<bool> T>
  Value(T boolean) : storage_(boolean) {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Value(T number) : storage_(static_cast<std::int64_t>(number)) {}
  Value(double number) : storage_(number) {}
  Value(std::string text) : storage_(std::make_shared<const std::string>(std::move(text))) {}
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(std::shared_ptr<Namespace> object) : storage_(std::move(object)) {}
  Value(std::shared_ptr<Callable> object) : storage_(std::move(object)) {}

  // Both fail when containers nest deeper than kMaxValueDepth.
  static Value sequence(SequenceKind kind, std::vector<Value> items);
  static Value list(std::vector<Value> items) { return sequence(SequenceKind::kList, std::move(items)); }
  static Value dict(std::vector<std::pair<Value, Value>> entries);  // the keys differ

  template <typename T>
  bool is() const {
    return std::holds_alternative<T>(storage_);
  }
  bool is_undefined() const { return is<Undefined>(); }
  bool is_none() const { return is<None>(); }
  bool is_number() const { return is<bool>() || is<std::int64_t>() || is<double>(); }

  // Null when the value is of another kind.
  const std::string* text() const;
  Sequence* as_sequence() const;
  const Dict* as_dict() const;
  Namespace* as_namespace() const;
  Callable* as_callable() const;

  // An integer or a boolean, as Python's `bool` is an `int`.
  bool is_integral() const { return is<bool>() || is<std::int64_t>(); }
  std::int64_t integer() const;  // of an integral value
  double real() const;           // of a number

  const Storage& storage() const { return storage_; }

 private:
  Storage storage_;
};

inline constexpr int kMaxValueDepth = 100;

bool truthy(const Value& value);
const char* type_name(const Value& value);  // as Python names it, for error messages

bool equals(const Value& a, const Value& b, Budget& budget);
bool less(const Value& a, const Value& b, Budget& budget);  // fails for kinds without an order
// Null when the key is missing. Fails for keys Python cannot hash.
const Value* find_key(const Dict& dict, const Value& key, Budget& budget);
bool contains(const Value& container, const Value& item, Budget& budget);  // `item in container`

// What a `for` loop visits: items, keys or characters. Uses up a generator. Fails for other kinds.
std::vector<Value> iterate(const Value& value, Budget& budget);
std::size_t length(const Value& value);  // Python's len(); fails for kinds without one

// value_text.cpp: Python's str() and repr().
std::string to_text(const Value& value, Budget& budget);
void append_text(std::string& out, const Value& value, Budget& budget);
void append_repr(std::string& out, const Value& value, Budget& budget);
std::string number_text(double number);

}  // namespace caudal::jinja
