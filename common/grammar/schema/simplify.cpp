// What follows from all schemas together. The types that a value can have at all are the least fixed point of what each
// schema needs: a schema that only an endless value would satisfy gets none.
#include <algorithm>

#include "common/grammar/automata/lazy_dfa.h"
#include "common/grammar/schema/compiler_detail.h"

namespace caudal::grammar {
namespace {

void refuse_in_place_cycles(const SchemaSet& set, const std::vector<std::string>& pointers) {
  enum : std::uint8_t { kNew, kOnTheWay, kDone };
  std::vector<std::uint8_t> state(set.schemas.size(), kNew);
  for (SchemaId root = 0; root < set.schemas.size(); ++root) {
    std::vector<SchemaId> path{root};
    while (!path.empty()) {
      const SchemaId id = path.back();
      if (state[id] != kNew) {
        state[id] = kDone;
        path.pop_back();
        continue;
      }
      state[id] = kOnTheWay;
      for_each_in_place(set.schemas[id], [&](SchemaId next) {
        if (state[next] == kOnTheWay) throw Refusal{"refers to itself without an end", pointers[next]};
        if (state[next] == kNew) path.push_back(next);
      });
    }
  }
}

constexpr std::size_t kMaxWork = 1'000'000;  // schemas and names that are looked at

// Those that decide whether there are values of the schema.
template <typename Visit>
void for_each_needed(const Schema& schema, Visit&& visit) {
  for_each_in_place(schema, visit);
  for (const SchemaId id : schema.prefix) visit(id);
  for (const SchemaId id : {schema.items, schema.contains, schema.additional}) {
    if (id != kNoSchema) visit(id);
  }
  for (const auto& [name, id] : schema.properties) visit(id);
  for (const auto& [pattern, id] : schema.pattern_properties) visit(id);
}

class Possibilities {
 public:
  Possibilities(SchemaSet& set, const std::vector<std::string>& pointers, std::size_t max_states)
      : set_(set), pointers_(pointers), max_states_(max_states) {}

  void find() {
    filter_words();
    std::vector<std::uint8_t> types(set_.schemas.size(), 0);
    std::vector<std::vector<SchemaId>> users(set_.schemas.size());
    std::vector<SchemaId> todo;
    std::vector<std::uint8_t> is_waiting(set_.schemas.size(), 1);
    for (SchemaId id = 0; id < set_.schemas.size(); ++id) {
      for_each_needed(set_.schemas[id], [&](SchemaId needed) { users[needed].push_back(id); });
      todo.push_back(id);
    }
    std::size_t work = 0;
    while (!todo.empty()) {
      const SchemaId id = todo.back();
      todo.pop_back();
      is_waiting[id] = 0;
      work += 1 + set_.schemas[id].required.size() + set_.schemas[id].prefix.size();
      if (work > kMaxWork) throw Refusal{"it takes too long to find out which values there can be", pointers_[id]};
      const std::uint8_t now = possible(set_.schemas[id], types);
      if (now == types[id]) continue;
      types[id] = now;
      for (const SchemaId user : users[id]) {
        if (is_waiting[user]++ == 0) todo.push_back(user);
        is_waiting[user] = 1;
      }
    }
    for (std::size_t i = 0; i < types.size(); ++i) set_.schemas[i].types = types[i];
    for (Schema& schema : set_.schemas) bound_unique_items(schema);
  }

 private:
  LazyDfa& automaton(std::uint32_t pattern) {
    automata_.resize(set_.patterns.size());
    if (!automata_[pattern]) automata_[pattern] = std::make_unique<LazyDfa>(*set_.patterns[pattern], max_states_);
    return *automata_[pattern];
  }

  bool matches(std::uint32_t pattern, const std::string& text) {
    LazyDfa& dfa = automaton(pattern);
    std::uint32_t state = dfa.start();
    for (const char c : text) state = dfa.next(state, static_cast<std::uint8_t>(c));
    return dfa.accepts(state);
  }

  // Words that the schema's own patterns and lengths exclude go, and then the patterns say nothing more.
  void filter_words() {
    for (Schema& schema : set_.schemas) {
      if (!schema.words) continue;
      std::erase_if(*schema.words, [&](const std::string& word) {
        const auto length = std::ranges::count_if(word, [](char c) { return (c & 0xC0) != 0x80; });
        if (length < schema.min_length || static_cast<std::size_t>(length) > schema.max_length) return true;
        return !std::ranges::all_of(schema.patterns, [&](std::uint32_t pattern) { return matches(pattern, word); });
      });
      schema.patterns.clear();
      schema.min_length = 0;
      schema.max_length = kNoBound;
    }
  }

  static std::uint8_t types_of(SchemaId id, const std::vector<std::uint8_t>& types) {
    return id == kNoSchema ? static_cast<std::uint8_t>(kAnyType) : types[id];
  }

  bool can_be_array(const Schema& schema, const std::vector<std::uint8_t>& types) const {
    if (schema.min_items > schema.max_items) return false;
    for (std::size_t i = 0; i < schema.prefix.size() && i < schema.min_items; ++i) {
      if (types[schema.prefix[i]] == 0) return false;
    }
    if (schema.min_items > schema.prefix.size() && types_of(schema.items, types) == 0) return false;
    if (schema.contains == kNoSchema) return true;
    return schema.min_contains <= schema.max_contains && (schema.min_contains == 0 || types[schema.contains] != 0);
  }

  bool can_have(const Schema& schema, const std::string& name, const std::vector<std::uint8_t>& types) {
    const auto property = std::ranges::lower_bound(schema.properties, name, {}, [](const auto& p) { return p.first; });
    bool is_named = property != schema.properties.end() && property->first == name;
    if (is_named && types[property->second] == 0) return false;
    for (const auto& [pattern, id] : schema.pattern_properties) {
      if (!matches(pattern, name)) continue;
      is_named = true;
      if (types[id] == 0) return false;
    }
    return is_named || types_of(schema.additional, types) != 0;
  }

  bool can_be_object(const Schema& schema, const std::vector<std::uint8_t>& types) {
    if (schema.min_properties > schema.max_properties || schema.required.size() > schema.max_properties) return false;
    return std::ranges::all_of(schema.required, [&](const std::string& name) { return can_have(schema, name, types); });
  }

  std::uint8_t possible(const Schema& schema, const std::vector<std::uint8_t>& types) {
    std::uint8_t result = schema.types;
    const bool no_string = schema.words ? schema.words->empty() : schema.min_length > schema.max_length;
    if (no_string) result &= static_cast<std::uint8_t>(~kString);
    if (schema.number.among && schema.number.among->empty()) result &= static_cast<std::uint8_t>(~kNumber);
    if (!can_be_array(schema, types)) result &= static_cast<std::uint8_t>(~kArray);
    if (!can_be_object(schema, types)) result &= static_cast<std::uint8_t>(~kObject);
    for (const SchemaId id : schema.all_of) result &= types[id];
    for (const auto* groups : {&schema.any_of, &schema.one_of}) {
      for (const auto& group : *groups) {
        std::uint8_t any = 0;
        for (const SchemaId id : group) any |= types[id];
        result &= any;
      }
    }
    return result;
  }

  // As many different items as the schema of the items has values.
  void bound_unique_items(Schema& schema) const {
    if (!schema.unique_items || schema.items == kNoSchema || !schema.prefix.empty()) return;
    const Schema& item = set_.schemas[schema.items];
    std::size_t count = 0;
    for (const ValueType type : {kNull, kTrue, kFalse}) count += (item.types & type) != 0 ? 1 : 0;
    if ((item.types & (kArray | kObject)) != 0) return;
    if ((item.types & kString) != 0 && !item.words) return;
    if ((item.types & kNumber) != 0 && !item.number.among) return;
    if ((item.types & kString) != 0) count += item.words->size();
    if ((item.types & kNumber) != 0) count += item.number.among->size();
    schema.max_items = std::min<std::uint32_t>(schema.max_items,
                                               static_cast<std::uint32_t>(std::min<std::size_t>(count, kNoBound - 1)));
    if (schema.min_items > schema.max_items) schema.types &= static_cast<std::uint8_t>(~kArray);
  }

  SchemaSet& set_;
  const std::vector<std::string>& pointers_;
  std::size_t max_states_;
  std::vector<std::unique_ptr<LazyDfa>> automata_;
};

}  // namespace

void simplify(SchemaSet& set, const std::vector<std::string>& pointers, std::size_t max_states) {
  refuse_in_place_cycles(set, pointers);
  Possibilities(set, pointers, max_states).find();
}

}  // namespace caudal::grammar
