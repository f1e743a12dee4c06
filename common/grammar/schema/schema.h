// A JSON Schema, read: a list of schemas that name each other by index. Immutable, any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/grammar/automata/regex_program.h"
#include "common/grammar/schema/number_rule.h"

namespace caudal::grammar {

using SchemaId = std::uint32_t;
inline constexpr SchemaId kNoSchema = ~0U;

// What a value is, as bits of Schema::types.
enum ValueType : std::uint8_t {
  kNull = 1,
  kTrue = 2,
  kFalse = 4,
  kNumber = 8,  // also an integer
  kString = 16,
  kArray = 32,
  kObject = 64,
  kAnyType = 127,
};

struct Schema {
  std::uint8_t types = kAnyType;  // 0: no value at all

  // A string: all of these automata match, and it is one of the words.
  std::vector<std::uint32_t> patterns;  // indices of SchemaSet::patterns
  std::uint32_t min_length = 0;         // characters
  std::uint32_t max_length = kNoBound;
  std::optional<std::vector<std::string>> words;  // sorted

  NumberRule number;

  // An array.
  std::vector<SchemaId> prefix;
  SchemaId items = kNoSchema;  // behind the prefix
  SchemaId contains = kNoSchema;
  std::uint32_t min_contains = 1;
  std::uint32_t max_contains = kNoBound;
  std::uint32_t min_items = 0;
  std::uint32_t max_items = kNoBound;
  bool unique_items = false;

  // An object. A name that neither is a property nor matches a pattern is additional.
  std::vector<std::pair<std::string, SchemaId>> properties;  // sorted
  std::vector<std::pair<std::uint32_t, SchemaId>> pattern_properties;
  SchemaId additional = kNoSchema;
  SchemaId names = kNoSchema;
  std::vector<std::string> required;
  std::uint32_t min_properties = 0;
  std::uint32_t max_properties = kNoBound;
  std::vector<std::pair<std::string, std::vector<std::string>>> dependent_required;
  std::vector<std::pair<std::string, SchemaId>> dependent_schemas;

  // Any value.
  std::vector<SchemaId> all_of;
  std::vector<std::vector<SchemaId>> any_of;
  std::vector<std::vector<SchemaId>> one_of;
  std::vector<SchemaId> none_of;
  SchemaId condition = kNoSchema;  // `if`
  SchemaId consequence = kNoSchema;
  SchemaId alternative = kNoSchema;

  static Schema of_types(int types) {
    Schema schema;
    schema.types = static_cast<std::uint8_t>(types);
    return schema;
  }

  bool limits_objects() const {
    return !properties.empty() || !pattern_properties.empty() || additional != kNoSchema || names != kNoSchema ||
           !required.empty() || min_properties != 0 || max_properties != kNoBound || !dependent_required.empty() ||
           !dependent_schemas.empty();
  }
};

struct SchemaSet {
  std::vector<Schema> schemas;
  std::vector<std::shared_ptr<const RegexProgram>> patterns;  // a format's is shared by all sets
  SchemaId root = 0;
};

// The schemas that say something of the same value: calls visit(id).
template <typename Visit>
void for_each_in_place(const Schema& schema, Visit&& visit) {
  for (const SchemaId id : schema.all_of) visit(id);
  for (const auto& group : schema.any_of) {
    for (const SchemaId id : group) visit(id);
  }
  for (const auto& group : schema.one_of) {
    for (const SchemaId id : group) visit(id);
  }
  for (const SchemaId id : schema.none_of) visit(id);
  for (const SchemaId id : {schema.condition, schema.consequence, schema.alternative}) {
    if (id != kNoSchema) visit(id);
  }
  for (const auto& [name, id] : schema.dependent_schemas) visit(id);
}

}  // namespace caudal::grammar
