// Filters on lists, mappings and whatever a loop can visit. Those that are lazy in Jinja are not
// here, but like there their result can be visited once and has no length.
#include <algorithm>

#include "coordinator/gateway/jinja/evaluator/evaluator.h"
#include "coordinator/gateway/jinja/evaluator/library.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/text.h"

namespace caudal::jinja {
namespace {

Value generator(std::vector<Value> items) { return Value::sequence(SequenceKind::kGenerator, std::move(items)); }

Value count(Evaluator&, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return length(input);
}

Value first(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {});
  const std::vector<Value> items = iterate(input, evaluator.budget());
  return items.empty() ? Value() : items.front();
}

// reversed() of Python: what has an order and is no one-time iterator.
std::vector<Value> reversed(const Value& input, Budget& budget) {
  const Sequence* sequence = input.as_sequence();
  if (sequence && sequence->kind == SequenceKind::kGenerator) fail("the input cannot be reversed");
  std::vector<Value> items = iterate(input, budget);
  std::reverse(items.begin(), items.end());
  return items;
}

Value last(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {});
  const std::vector<Value> items = reversed(input, evaluator.budget());
  return items.empty() ? Value() : items.front();
}

Value list(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {});
  return Value::list(iterate(input, evaluator.budget()));
}

Value reverse(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {});
  if (!input.text()) {
    std::vector<Value> items = iterate(input, evaluator.budget());
    std::reverse(items.begin(), items.end());
    return generator(std::move(items));
  }
  std::string text;
  for (const Value& character : reversed(input, evaluator.budget())) text += *character.text();
  return text;
}

// What a filter with `attribute=` and `case_sensitive=` looks at: the item, an attribute of it, and
// of text the lower case unless case matters.
Value sort_key(Evaluator& evaluator, const Value& item, const Value* path, bool case_sensitive) {
  Value key = path && !path->is_none() ? attribute_path(evaluator, item, *path) : item;
  if (case_sensitive || !key.text()) return key;
  evaluator.budget().allocate(key.text()->size());
  return to_lower(*key.text());
}

using Keyed = std::pair<Value, Value>;  // key, item

std::vector<Keyed> with_keys(Evaluator& evaluator, const Value& input, const Value* path, bool case_sensitive) {
  std::vector<Keyed> result;
  for (Value& item : iterate(input, evaluator.budget())) {
    Value key = sort_key(evaluator, item, path, case_sensitive);
    result.emplace_back(std::move(key), std::move(item));
  }
  return result;
}

void stable_sort_by_key(std::vector<Keyed>& items, bool descending, Budget& budget) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    require_defined(a.first);
    require_defined(b.first);
    return descending ? less(b.first, a.first, budget) : less(a.first, b.first, budget);
  });
}

std::vector<Value> items_of(std::vector<Keyed>&& keyed) {
  std::vector<Value> items;
  items.reserve(keyed.size());
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return items;
}

// `attribute` can name several ("a,b"). The key is a list of them: lists compare equal items away
// first, so that two undefined ones are no error, as in Jinja.
Value sort(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<Value> paths = {bound.value(2, None{})};
  if (paths[0].text()) {
    const Arguments by_comma{{","}, {}};
    paths = find_method(paths[0], "split")(evaluator, paths[0], by_comma).as_sequence()->items;
  }
  std::vector<Keyed> keyed;
  for (Value& item : iterate(input, evaluator.budget())) {
    std::vector<Value> keys;
    keys.reserve(paths.size());
    for (const Value& path : paths) keys.push_back(sort_key(evaluator, item, &path, bound.flag(1, false)));
    keyed.emplace_back(Value::list(std::move(keys)), std::move(item));
  }
  stable_sort_by_key(keyed, bound.flag(0, false), evaluator.budget());
  return Value::list(items_of(std::move(keyed)));
}

Value unique(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"case_sensitive", "attribute"});
  std::vector<Keyed> seen;
  for (Keyed& candidate : with_keys(evaluator, input, bound[1], bound.flag(0, false))) {
    find_key(Dict{}, candidate.first, evaluator.budget());  // refuses what Python cannot hash
    const auto same = [&](const Keyed& x) { return equals(x.first, candidate.first, evaluator.budget()); };
    if (std::none_of(seen.begin(), seen.end(), same)) seen.push_back(std::move(candidate));
  }
  return generator(items_of(std::move(seen)));
}

template <bool greatest>
Value extreme(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"case_sensitive", "attribute"});
  auto keyed = with_keys(evaluator, input, bound[1], bound.flag(0, false));
  if (keyed.empty()) return {};
  const Keyed* best = &keyed.front();
  for (const Keyed& item : keyed) {
    if (&item == best) continue;
    require_defined(item.first);
    require_defined(best->first);
    const bool better = greatest ? less(best->first, item.first, evaluator.budget())
                                 : less(item.first, best->first, evaluator.budget());
    if (better) best = &item;
  }
  return best->second;
}

Arguments without_first(const Arguments& arguments) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  return rest;
}

// Like Jinja, map and the select family take any false value (none, 0) for an empty list.
std::vector<Value> items_if_any(const Value& input, Budget& budget) {
  return truthy(input) ? iterate(input, budget) : std::vector<Value>();
}

// map('filter', ...) or map(attribute='a.b', default=x)
Value map(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  std::vector<Value> results;
  const std::vector<Value> items = items_if_any(input, evaluator.budget());
  if (!arguments.positional.empty()) {
    const std::string& filter = require_text(arguments.positional[0], "the name of a filter");
    const Arguments rest = without_first(arguments);
    for (const Value& item : items) results.push_back(evaluator.apply_filter(filter, item, rest));
    return generator(std::move(results));
  }
  const Bound bound(arguments, {"attribute", "default"}, 1);
  for (const Value& item : items) {
    Value value = attribute_path(evaluator, item, *bound[0]);
    if (value.is_undefined() && bound[1]) value = *bound[1];
    results.push_back(std::move(value));
  }
  return generator(std::move(results));
}

// select, reject, selectattr, rejectattr: items (or an attribute of theirs) that pass a test, or fail it.
template <bool by_attribute, bool wanted>
Value select(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  Arguments rest = arguments;
  Value path;
  if (by_attribute) {
    if (rest.positional.empty()) fail("the name of an attribute is missing");
    path = rest.positional.front();
    rest = without_first(rest);
  }
  const bool has_test = !rest.positional.empty();
  const std::string test = has_test ? require_text(rest.positional.front(), "the name of a test") : "";
  if (has_test) rest = without_first(rest);
  std::vector<Value> kept;
  for (Value& item : items_if_any(input, evaluator.budget())) {
    const Value value = by_attribute ? attribute_path(evaluator, item, path) : item;
    const bool passes = has_test ? evaluator.apply_test(test, value, rest) : truthy(value);
    if (passes == wanted) kept.push_back(std::move(item));
  }
  return generator(std::move(kept));
}

std::vector<Value> pairs(const Dict& dict) {
  std::vector<Value> result;
  result.reserve(dict.entries.size());
  for (const auto& [key, value] : dict.entries) {
    result.push_back(Value::sequence(SequenceKind::kTuple, {key, value}));
  }
  return result;
}

Value items(Evaluator&, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {});
  if (input.is_undefined()) return generator({});
  if (!input.as_dict()) fail(std::string("the filter 'items' needs a mapping, not ") + type_name(input));
  return generator(pairs(*input.as_dict()));
}

Value dictsort(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"case_sensitive", "by", "reverse"});
  require_defined(input);
  if (!input.as_dict()) fail(std::string("the filter 'dictsort' needs a mapping, not ") + type_name(input));
  const Value by = bound.value(1, "key");
  const std::string& side = require_text(by, "'by'");
  if (side != "key" && side != "value") fail("dictsort sorts by 'key' or by 'value'");
  const Value index = side == "key" ? 0 : 1;
  auto keyed = with_keys(evaluator, Value::list(pairs(*input.as_dict())), &index, bound.flag(0, false));
  stable_sort_by_key(keyed, bound.flag(2, false), evaluator.budget());
  return Value::list(items_of(std::move(keyed)));
}

Value batch(Evaluator& evaluator, const Value& input, const Arguments& arguments) {
  const Bound bound(arguments, {"linecount", "fill_with"}, 1);
  const std::int64_t size = bound.integer(0, 1);
  std::vector<Value> rows;
  std::vector<Value> row;
  for (Value& item : iterate(input, evaluator.budget())) {
    if (static_cast<std::int64_t>(row.size()) == size) rows.push_back(Value::list(std::exchange(row, {})));
    row.push_back(std::move(item));
  }
  if (row.empty()) return generator(std::move(rows));
  if (bound[1] && !bound[1]->is_none() && size > static_cast<std::int64_t>(row.size())) {
    evaluator.budget().allocate(std::min(size, std::int64_t{1} << 40) * sizeof(Value));
    row.resize(size, *bound[1]);
  }
  rows.push_back(Value::list(std::move(row)));
  return generator(std::move(rows));
}

constexpr NamedFunction kSequenceFilters[] = {
    {"length", count},
    {"count", count},
    {"first", first},
    {"last", last},
    {"list", list},
    {"reverse", reverse},
    {"sort", sort},
    {"unique", unique},
    {"min", extreme<false>},
    {"max", extreme<true>},
    {"map", map},
    {"select", select<false, true>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<true, false>},
    {"items", items},
    {"dictsort", dictsort},
    {"batch", batch},
};

}  // namespace

std::span<const NamedFunction> sequence_filters() { return kSequenceFilters; }

}  // namespace caudal::jinja
