// The keywords of arrays and objects, and those that list values.
#include <fmt/format.h>

#include <algorithm>

#include "common/grammar/schema/compiler_detail.h"

namespace caudal::grammar {

namespace json = boost::json;

void SchemaCompiler::read_array(const Keywords& from, Schema& schema) {
  read_items(from, schema);
  schema.contains = sub(from, "contains").value_or(kNoSchema);
  if (schema.contains != kNoSchema) {
    schema.min_contains = from.count("minContains").value_or(1);
    schema.max_contains = from.count("maxContains").value_or(kNoBound);
  }
  schema.min_items = from.count("minItems").value_or(0);
  schema.max_items = from.count("maxItems").value_or(kNoBound);
  schema.unique_items = from.flag("uniqueItems");
}

void SchemaCompiler::read_items(const Keywords& from, Schema& schema) {
  const json::value* items = from.find("items");
  if (draft_ == Draft::k2020) {
    schema.prefix = subs(from, "prefixItems");
    if (items != nullptr) schema.items = sub(from, *items, from.pointer("items"));
    return;
  }
  if (items == nullptr) return;
  if (!items->is_array()) {
    schema.items = sub(from, *items, from.pointer("items"));
    return;
  }
  for (const json::value& item : items->get_array())
    schema.prefix.push_back(sub(from, item, fmt::format("{}/{}", from.pointer("items"), schema.prefix.size())));
  schema.items = sub(from, "additionalItems").value_or(kNoSchema);
}

void SchemaCompiler::read_object(const Keywords& from, Schema& schema) {
  if (const json::object* properties = from.object("properties")) {
    for (const auto& entry : *properties) {
      const std::string pointer = from.pointer("properties") + pointer_part(entry.key());
      schema.properties.emplace_back(entry.key(), sub(from, entry.value(), pointer));
    }
    std::ranges::sort(schema.properties);
  }
  if (const json::object* patterns = from.object("patternProperties")) {
    for (const auto& entry : *patterns) {
      const std::string pointer = from.pointer("patternProperties") + pointer_part(entry.key());
      const std::uint32_t automaton = pattern(entry.key(), pointer);
      schema.pattern_properties.emplace_back(automaton, sub(from, entry.value(), pointer));
    }
  }
  schema.additional = sub(from, "additionalProperties").value_or(kNoSchema);
  schema.names = sub(from, "propertyNames").value_or(kNoSchema);
  if (const json::value* required = from.find("required"))
    schema.required = from.names(*required, from.pointer("required"));
  schema.min_properties = from.count("minProperties").value_or(0);
  schema.max_properties = from.count("maxProperties").value_or(kNoBound);
  read_dependencies(from, schema);
}

void SchemaCompiler::read_dependencies(const Keywords& from, Schema& schema) {
  for (const char* keyword : {"dependentRequired", "dependentSchemas", "dependencies"}) {
    const json::object* dependencies = from.object(keyword);
    if (dependencies == nullptr) continue;
    for (const auto& entry : *dependencies) {
      const std::string pointer = from.pointer(keyword) + pointer_part(entry.key());
      const bool is_list = entry.value().is_array() || std::string_view(keyword) == "dependentRequired";
      if (is_list) {
        schema.dependent_required.emplace_back(entry.key(), from.names(entry.value(), pointer));
      } else {
        schema.dependent_schemas.emplace_back(entry.key(), sub(from, entry.value(), pointer));
      }
    }
  }
}

void SchemaCompiler::read_values(const Keywords& from, Schema& schema) {
  if (const json::array* list = from.array("enum")) {
    std::vector<const json::value*> values;
    for (const json::value& value : *list) values.push_back(&value);
    restrict_to(values, from.pointer("enum"), schema);
  }
  if (const json::value* value = from.find("const")) restrict_to({value}, from.pointer("const"), schema);
}

// To some values: the simple ones by the schema itself, arrays and objects by schemas of their own.
void SchemaCompiler::restrict_to(const std::vector<const json::value*>& values, const std::string& pointer,
                                 Schema& schema) {
  Schema simple = Schema::of_types(0);
  std::vector<std::string> words;
  std::vector<Decimal> numbers;
  std::vector<SchemaId> group;
  std::uint8_t compound_types = 0;
  for (const json::value* value : values) {
    if (value->is_null()) simple.types |= kNull;
    if (value->is_bool()) simple.types |= value->get_bool() ? kTrue : kFalse;
    if (value->is_string()) words.emplace_back(value->get_string());
    if (value->is_number()) numbers.push_back(decimal_of(*value));
    if (!value->is_object() && !value->is_array()) continue;
    group.push_back(constant(*value, pointer));
    compound_types |= value->is_object() ? kObject : kArray;
  }
  if (!words.empty()) {
    simple.types |= kString;
    std::ranges::sort(words);
    words.erase(std::ranges::unique(words).begin(), words.end());
    if (schema.words)
      std::erase_if(words, [&](const auto& word) { return !std::ranges::binary_search(*schema.words, word); });
    schema.words = std::move(words);
  }
  if (!numbers.empty()) {
    simple.types |= kNumber;
    NumberRule rule;
    rule.among = std::move(numbers);
    schema.number.intersect(rule);
  }
  schema.types &= simple.types | compound_types;
  if (group.empty()) return;
  if (simple.types != 0) group.push_back(add(std::move(simple), pointer));
  schema.any_of.push_back(std::move(group));
}

SchemaId SchemaCompiler::constant(const json::value& value, const std::string& pointer) {
  Schema schema;
  if (const json::array* items = value.if_array()) {
    schema.types = kArray;
    for (const json::value& item : *items) schema.prefix.push_back(constant(item, pointer));
    schema.min_items = schema.max_items = static_cast<std::uint32_t>(items->size());
  } else if (const json::object* members = value.if_object()) {
    schema.types = kObject;
    for (const auto& member : *members) {
      schema.properties.emplace_back(member.key(), constant(member.value(), pointer));
      schema.required.emplace_back(member.key());
    }
    std::ranges::sort(schema.properties);
    std::ranges::sort(schema.required);
    schema.additional = add(Schema::of_types(0), pointer);
  } else {
    restrict_to({&value}, pointer, schema);
  }
  return add(std::move(schema), pointer);
}

}  // namespace caudal::grammar
