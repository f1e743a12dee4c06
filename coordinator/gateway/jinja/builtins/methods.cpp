// Methods of dicts and lists, and the look-up of all methods. Those that would change their object
// do not exist here; Jinja's immutable sandbox hides them too.
#include <algorithm>
#include <unordered_map>

#include "coordinator/gateway/jinja/evaluator/evaluator.h"
#include "coordinator/gateway/jinja/evaluator/library.h"
#include "coordinator/gateway/jinja/value/error.h"

namespace caudal::jinja {
namespace {

using Table = std::unordered_map<std::string_view, Function>;

Table table_of(std::span<const NamedFunction> functions) {
  Table table;
  for (const auto& [name, function] : functions) table.emplace(name, function);
  return table;
}

template <SequenceKind kind>
Value view(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {});
  std::vector<Value> items;
  for (const auto& [key, value] : self.as_dict()->entries) {
    if constexpr (kind == SequenceKind::kKeysView) items.push_back(key);
    if constexpr (kind == SequenceKind::kValuesView) items.push_back(value);
    if constexpr (kind == SequenceKind::kItemsView) {
      items.push_back(Value::sequence(SequenceKind::kTuple, {key, value}));
    }
  }
  return Value::sequence(kind, std::move(items));
}

Value get(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"key", "default"}, 1);
  const Value* found = find_key(*self.as_dict(), *bound[0], evaluator.budget());
  return found ? *found : bound.value(1, None{});
}

Value copy(Evaluator&, const Value& self, const Arguments&) { return self; }

Value index(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"value"}, 1);
  const auto& items = self.as_sequence()->items;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (equals(items[i], *bound[0], evaluator.budget())) return i;
  }
  fail("index(): the value is not in the list");
}

Value count(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound(arguments, {"value"}, 1);
  const auto& items = self.as_sequence()->items;
  const auto same = [&](const Value& item) { return equals(item, *bound[0], evaluator.budget()); };
  return std::count_if(items.begin(), items.end(), same);
}

constexpr NamedFunction kDictMethods[] = {
    {"keys", view<SequenceKind::kKeysView>},
    {"values", view<SequenceKind::kValuesView>},
    {"items", view<SequenceKind::kItemsView>},
    {"get", get},
    {"copy", copy},
};
constexpr NamedFunction kListMethods[] = {{"index", index}, {"count", count}, {"copy", copy}};

Function find(const Table& table, std::string_view name) {
  const auto found = table.find(name);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace

Function find_method(const Value& object, std::string_view name) {
  static const Table kText = table_of(text_methods());
  static const Table kDict = table_of(kDictMethods);
  static const Table kList = table_of(kListMethods);
  if (object.text()) return find(kText, name);
  if (object.as_dict()) return find(kDict, name);
  const Sequence* sequence = object.as_sequence();
  return sequence && sequence->indexable() ? find(kList, name) : nullptr;
}

bool hidden_method(std::string_view name) {
  static constexpr std::string_view kHidden[] = {"clear", "pop", "popitem", "setdefault", "update"};
  return std::find(std::begin(kHidden), std::end(kHidden), name) != std::end(kHidden);
}

}  // namespace caudal::jinja
