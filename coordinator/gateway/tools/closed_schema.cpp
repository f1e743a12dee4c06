#include "coordinator/gateway/tools/closed_schema.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <string_view>

namespace caudal {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 6> kAssembled{"allOf",        "if", "dependentSchemas", "unevaluatedProperties",
                                                     "dependencies", "not"};
constexpr std::array<std::string_view, 9> kSaysMore{"additionalProperties",
                                                    "patternProperties",
                                                    "propertyNames",
                                                    "minProperties",
                                                    "dependentRequired",
                                                    "anyOf",
                                                    "oneOf",
                                                    "enum",
                                                    "const"};
constexpr std::array<std::string_view, 4> kNamedParts{"properties", "$defs", "definitions", "patternProperties"};

bool has_any(const json::object& schema, const auto& keywords) {
  return std::ranges::any_of(keywords, [&](std::string_view keyword) { return schema.contains(keyword); });
}

// Anywhere in it, also where such a word is no keyword.
bool is_assembled(const json::value& value) {
  if (value.is_array()) return std::ranges::any_of(value.get_array(), is_assembled);
  if (!value.is_object()) return false;
  return has_any(value.get_object(), kAssembled) ||
         std::ranges::any_of(value.get_object(), [](const auto& member) { return is_assembled(member.value()); });
}

// What it requires is listed.
bool lists_required(const json::object& schema, const json::object& properties) {
  const json::value* required = schema.if_contains("required");
  if (required == nullptr || !required->is_array()) return true;
  return std::ranges::all_of(required->get_array(), [&](const json::value& name) {
    return name.is_string() && properties.contains(name.get_string());
  });
}

void close(json::value& value) {
  if (value.is_array()) {
    for (json::value& item : value.get_array()) close(item);
    return;
  }
  if (!value.is_object()) return;
  json::object& schema = value.get_object();
  const json::value* properties = schema.if_contains("properties");
  const bool lists = properties != nullptr && properties->is_object();
  for (const std::string_view keyword : kNamedParts) {
    json::value* parts = schema.if_contains(keyword);
    if (parts == nullptr || !parts->is_object()) continue;
    for (auto& member : parts->get_object()) close(member.value());
  }
  for (const std::string_view keyword : {"items", "prefixItems", "additionalProperties"}) {
    if (json::value* part = schema.if_contains(keyword)) close(*part);
  }
  for (const std::string_view keyword : {"anyOf", "oneOf"}) {
    if (json::value* ways = schema.if_contains(keyword); ways != nullptr && !lists) close(*ways);
  }
  if (lists && !has_any(schema, kSaysMore) && lists_required(schema, properties->get_object()))
    schema["additionalProperties"] = false;
}

}  // namespace

json::object closed_schema(json::object schema) {
  json::value value(std::move(schema));
  if (!is_assembled(value)) close(value);
  return std::move(value.get_object());
}

}  // namespace caudal
