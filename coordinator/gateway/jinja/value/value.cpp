#include "coordinator/gateway/jinja/value/value.h"

#include <algorithm>
#include <cmath>

#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/text.h"

namespace caudal::jinja {
namespace {

int depth_of(const Value& value) {
  if (const Sequence* sequence = value.as_sequence()) return sequence->depth;
  if (const Dict* dict = value.as_dict()) return dict->depth;
  return 0;
}

int checked_depth(int depth) {
  if (depth > kMaxValueDepth) fail("values nest too deeply");
  return depth;
}

bool equal_sequences(const Sequence& a, const Sequence& b, Budget& budget) {
  if (a.kind != b.kind || !a.indexable() || a.items.size() != b.items.size()) return &a == &b;
  return std::equal(a.items.begin(), a.items.end(), b.items.begin(),
                    [&](const Value& x, const Value& y) { return equals(x, y, budget); });
}

bool equal_dicts(const Dict& a, const Dict& b, Budget& budget) {
  if (a.entries.size() != b.entries.size()) return false;
  return std::all_of(a.entries.begin(), a.entries.end(), [&](const auto& entry) {
    const Value* other = find_key(b, entry.first, budget);
    return other && equals(entry.second, *other, budget);
  });
}

}  // namespace

bool Sequence::indexable() const {
  return kind == SequenceKind::kList || kind == SequenceKind::kTuple || kind == SequenceKind::kRange;
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    const std::string* text = name.text();
    if (text && *text == key) return &value;
  }
  return nullptr;
}

const Value* Namespace::find(std::string_view name) const {
  for (const auto& [member, value] : members) {
    if (member == name) return &value;
  }
  return nullptr;
}

void Namespace::set(std::string_view name, Value value) {
  for (auto& [member, old] : members) {
    if (member == name) {
      old = std::move(value);
      return;
    }
  }
  members.emplace_back(std::string(name), std::move(value));
}

Value Callable::attribute(Evaluator&, std::string_view) { return {}; }

Value Value::sequence(SequenceKind kind, std::vector<Value> items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, depth_of(item));
  Value value;
  value.storage_ = std::make_shared<Sequence>(Sequence{kind, std::move(items), checked_depth(depth + 1)});
  return value;
}

Value Value::dict(std::vector<std::pair<Value, Value>> entries) {
  int depth = 0;
  for (const auto& [key, item] : entries) depth = std::max({depth, depth_of(key), depth_of(item)});
  Value value;
  value.storage_ = std::make_shared<const Dict>(Dict{std::move(entries), checked_depth(depth + 1)});
  return value;
}

const std::string* Value::text() const {
  const auto* text = std::get_if<Text>(&storage_);
  return text ? text->get() : nullptr;
}

Sequence* Value::as_sequence() const {
  const auto* sequence = std::get_if<std::shared_ptr<Sequence>>(&storage_);
  return sequence ? sequence->get() : nullptr;
}

const Dict* Value::as_dict() const {
  const auto* dict = std::get_if<std::shared_ptr<const Dict>>(&storage_);
  return dict ? dict->get() : nullptr;
}

Namespace* Value::as_namespace() const {
  const auto* object = std::get_if<std::shared_ptr<Namespace>>(&storage_);
  return object ? object->get() : nullptr;
}

Callable* Value::as_callable() const {
  const auto* object = std::get_if<std::shared_ptr<Callable>>(&storage_);
  return object ? object->get() : nullptr;
}

std::int64_t Value::integer() const {
  const auto* boolean = std::get_if<bool>(&storage_);
  return boolean ? static_cast<std::int64_t>(*boolean) : std::get<std::int64_t>(storage_);
}

double Value::real() const {
  const auto* number = std::get_if<double>(&storage_);
  return number ? *number : static_cast<double>(integer());
}

bool truthy(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (value.is<double>()) return value.real() != 0.0;
  if (value.is_integral()) return value.integer() != 0;
  if (const std::string* text = value.text()) return !text->empty();
  if (const Sequence* sequence = value.as_sequence()) {
    return sequence->kind == SequenceKind::kGenerator || !sequence->items.empty();
  }
  if (const Dict* dict = value.as_dict()) return !dict->entries.empty();
  return true;
}

const char* type_name(const Value& value) {
  if (value.is_undefined()) return "undefined";
  if (value.is_none()) return "None";
  if (value.is<bool>()) return "bool";
  if (value.is<std::int64_t>()) return "int";
  if (value.is<double>()) return "float";
  if (value.text()) return "str";
  if (value.as_dict()) return "dict";
  if (value.as_namespace()) return "namespace";
  if (value.as_callable()) return "function";
  switch (value.as_sequence()->kind) {
    case SequenceKind::kList:
      return "list";
    case SequenceKind::kTuple:
      return "tuple";
    case SequenceKind::kRange:
      return "range";
    default:
      return "iterator";
  }
}

bool equals(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  if (a.is_integral() && b.is_integral()) return a.integer() == b.integer();
  if (a.is_number() && b.is_number()) return a.real() == b.real();
  if (a.storage().index() != b.storage().index()) return false;
  if (const std::string* text = a.text()) {
    budget.work(text->size());
    return *text == *b.text();
  }
  if (const Sequence* sequence = a.as_sequence()) return equal_sequences(*sequence, *b.as_sequence(), budget);
  if (const Dict* dict = a.as_dict()) return equal_dicts(*dict, *b.as_dict(), budget);
  if (a.as_namespace()) return a.as_namespace() == b.as_namespace();
  if (a.as_callable()) return a.as_callable() == b.as_callable();
  return true;  // undefined, None
}

bool less(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  if (a.is_integral() && b.is_integral()) return a.integer() < b.integer();
  if (a.is_number() && b.is_number()) return a.real() < b.real();
  const std::string* text = a.text();
  if (text && b.text()) {
    budget.work(text->size());
    return *text < *b.text();  // byte order of UTF-8 is code point order
  }
  const Sequence* x = a.as_sequence();
  const Sequence* y = b.as_sequence();
  if (x && y && x->kind == y->kind && x->indexable() && x->kind != SequenceKind::kRange) {
    for (std::size_t i = 0; i < x->items.size() && i < y->items.size(); ++i) {
      if (!equals(x->items[i], y->items[i], budget)) return jinja::less(x->items[i], y->items[i], budget);
    }
    return x->items.size() < y->items.size();
  }
  fail(std::string("cannot order ") + type_name(a) + " and " + type_name(b));
}

const Value* find_key(const Dict& dict, const Value& key, Budget& budget) {
  const Sequence* sequence = key.as_sequence();
  if (key.as_dict() || (sequence && sequence->kind == SequenceKind::kList)) {
    fail(std::string("unhashable type: ") + type_name(key));
  }
  for (const auto& [name, value] : dict.entries) {
    if (equals(name, key, budget)) return &value;
  }
  return nullptr;
}

bool contains(const Value& container, const Value& item, Budget& budget) {
  if (const std::string* text = container.text()) {
    const std::string* part = item.text();
    if (!part) fail(std::string("'in <string>' needs a string, not ") + type_name(item));
    budget.work(text->size());
    return find_text(*text, *part) != std::string::npos;
  }
  if (const Dict* dict = container.as_dict()) return find_key(*dict, item, budget) != nullptr;
  const std::vector<Value> items = iterate(container, budget);
  return std::any_of(items.begin(), items.end(), [&](const Value& x) { return equals(x, item, budget); });
}

std::vector<Value> iterate(const Value& value, Budget& budget) {
  if (value.is_undefined()) return {};
  std::vector<Value> items;
  if (Sequence* sequence = value.as_sequence()) {
    if (sequence->kind == SequenceKind::kGenerator) return std::exchange(sequence->items, {});
    budget.allocate(sequence->items.size() * sizeof(Value));
    return sequence->items;
  }
  if (const Dict* dict = value.as_dict()) {
    budget.allocate(dict->entries.size() * sizeof(Value));
    for (const auto& entry : dict->entries) items.push_back(entry.first);
    return items;
  }
  if (const std::string* text = value.text()) {
    budget.allocate(text->size() * (sizeof(Value) + sizeof(std::string)));
    for (std::size_t at = 0; at < text->size();) {
      const std::size_t begin = at;
      next_code_point(*text, at);
      items.emplace_back(text->substr(begin, at - begin));
    }
    return items;
  }
  fail(std::string("cannot loop over ") + type_name(value));
}

std::size_t length(const Value& value) {
  if (value.is_undefined()) return 0;
  if (const std::string* text = value.text()) return code_point_count(*text);
  if (const Dict* dict = value.as_dict()) return dict->entries.size();
  const Sequence* sequence = value.as_sequence();
  if (sequence && sequence->kind != SequenceKind::kGenerator) return sequence->items.size();
  fail(std::string(type_name(value)) + " has no length");
}

}  // namespace caudal::jinja
