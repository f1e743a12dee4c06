// See reference_validator.h.
#include "tests/common/grammar/schema_machine/reference_validator.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>
#include <string>

namespace caudal::grammar {
namespace {

namespace json = boost::json;

constexpr double kNone = std::numeric_limits<double>::infinity();

bool equal(const json::value& a, const json::value& b) {
  if (a.is_number() && b.is_number()) return a.to_number<double>() == b.to_number<double>();
  if (a.is_array() && b.is_array()) {
    return std::ranges::equal(a.get_array(), b.get_array(), equal);
  }
  if (a.is_object() && b.is_object()) {
    if (a.get_object().size() != b.get_object().size()) return false;
    return std::ranges::all_of(a.get_object(), [&](const auto& member) {
      const json::value* other = b.get_object().if_contains(member.key());
      return other != nullptr && equal(member.value(), *other);
    });
  }
  return a == b;
}

bool has_type(const json::value& value, std::string_view type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_bool();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (!value.is_number()) return false;
  return type == "number" || std::floor(value.to_number<double>()) == value.to_number<double>();
}

bool search(std::string_view text, std::string_view pattern) {
  return std::regex_search(std::string(text), std::regex(std::string(pattern)));
}

class Validation {
 public:
  Validation(const json::object& schema, const json::value& value, const json::value& root)
      : schema_(schema), value_(value), root_(root) {}

  bool holds() const {
    return has_types() && (!value_.is_string() || is_string()) && (!value_.is_number() || is_number()) &&
           (!value_.is_array() || is_array()) && (!value_.is_object() || is_object()) && has_applicators();
  }

 private:
  const json::value* find(std::string_view key) const { return schema_.if_contains(key); }
  double bound(std::string_view key, double fallback) const {
    return find(key) == nullptr ? fallback : find(key)->to_number<double>();
  }
  bool within(std::size_t n, std::string_view min, std::string_view max) const {
    return static_cast<double>(n) >= bound(min, 0) && static_cast<double>(n) <= bound(max, kNone);
  }
  bool valid(const json::value& schema, const json::value& value) const { return is_valid(schema, value, root_); }

  bool has_types() const {
    if (const json::value* type = find("type")) {
      const auto has = [&](const json::value& name) { return has_type(value_, name.get_string()); };
      if (type->is_string() ? !has(*type) : !std::ranges::any_of(type->get_array(), has)) return false;
    }
    const auto is_value = [&](const json::value& other) { return equal(other, value_); };
    if (const json::value* list = find("enum"); list != nullptr && !std::ranges::any_of(list->get_array(), is_value))
      return false;
    return find("const") == nullptr || equal(*find("const"), value_);
  }
  bool is_string() const {
    const std::string_view text = value_.get_string();
    const auto length = std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; });
    return within(static_cast<std::size_t>(length), "minLength", "maxLength") &&
           (find("pattern") == nullptr || search(text, find("pattern")->get_string()));
  }
  bool is_number() const {
    const double n = value_.to_number<double>();
    return n >= bound("minimum", -kNone) && n <= bound("maximum", kNone) && n > bound("exclusiveMinimum", -kNone) &&
           n < bound("exclusiveMaximum", kNone) && std::fmod(n, bound("multipleOf", n == 0 ? 1 : n)) == 0;
  }
  bool is_array() const {
    const json::array& items = value_.get_array();
    if (!within(items.size(), "minItems", "maxItems")) return false;
    const json::value* prefix = find("prefixItems");
    const std::size_t num_prefix = prefix == nullptr ? 0 : prefix->get_array().size();
    std::size_t contained = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i < num_prefix && !valid(prefix->get_array()[i], items[i])) return false;
      if (i >= num_prefix && find("items") != nullptr && !valid(*find("items"), items[i])) return false;
      contained += find("contains") != nullptr && valid(*find("contains"), items[i]) ? 1 : 0;
      for (std::size_t j = 0; j < i && find("uniqueItems") != nullptr; ++j) {
        if (equal(items[i], items[j])) return false;
      }
    }
    return find("contains") == nullptr || (static_cast<double>(contained) >= bound("minContains", 1) &&
                                           static_cast<double>(contained) <= bound("maxContains", kNone));
  }
  bool is_object() const {
    const json::object& members = value_.get_object();
    if (!within(members.size(), "minProperties", "maxProperties")) return false;
    const auto has_all = [&](const json::value& names) {
      return std::ranges::all_of(names.get_array(),
                                 [&](const json::value& name) { return members.contains(name.get_string()); });
    };
    if (find("required") != nullptr && !has_all(*find("required"))) return false;
    if (const json::value* dependent = find("dependentRequired")) {
      for (const auto& [name, others] : dependent->get_object()) {
        if (members.contains(name) && !has_all(others)) return false;
      }
    }
    if (const json::value* dependent = find("dependentSchemas")) {
      for (const auto& [name, schema] : dependent->get_object()) {
        if (members.contains(name) && !valid(schema, value_)) return false;
      }
    }
    return std::ranges::all_of(members, [&](const auto& member) { return is_member(member.key(), member.value()); });
  }
  bool is_member(std::string_view key, const json::value& value) const {
    bool is_named = false;
    if (const json::value* properties = find("properties")) {
      if (const json::value* schema = properties->get_object().if_contains(key)) {
        is_named = true;
        if (!valid(*schema, value)) return false;
      }
    }
    if (const json::value* patterns = find("patternProperties")) {
      for (const auto& [pattern, schema] : patterns->get_object()) {
        if (!search(key, pattern)) continue;
        is_named = true;
        if (!valid(schema, value)) return false;
      }
    }
    if (!is_named && find("additionalProperties") != nullptr && !valid(*find("additionalProperties"), value))
      return false;
    return find("propertyNames") == nullptr || valid(*find("propertyNames"), json::value(json::string(key)));
  }
  bool has_applicators() const {
    const auto count = [&](std::string_view key) {
      return std::ranges::count_if(find(key)->get_array(),
                                   [&](const json::value& schema) { return valid(schema, value_); });
    };
    if (find("$ref") != nullptr && !valid(root_, value_)) return false;  // always "#"
    if (find("allOf") != nullptr && static_cast<std::size_t>(count("allOf")) != find("allOf")->get_array().size())
      return false;
    if (find("anyOf") != nullptr && count("anyOf") == 0) return false;
    if (find("oneOf") != nullptr && count("oneOf") != 1) return false;
    if (find("not") != nullptr && valid(*find("not"), value_)) return false;
    if (find("if") == nullptr) return true;
    const json::value* branch = find(valid(*find("if"), value_) ? "then" : "else");
    return branch == nullptr || valid(*branch, value_);
  }

  const json::object& schema_;
  const json::value& value_;
  const json::value& root_;
};

}  // namespace

bool is_valid(const json::value& schema, const json::value& value, const json::value& root) {
  return schema.is_bool() ? schema.get_bool() : Validation(schema.get_object(), value, root).holds();
}

json::value RandomJson::value(int depth) {
  switch (below(depth > 0 ? 8 : 5)) {
    case 0:
      return nullptr;
    case 1:
      return below(2) == 0;
    case 2:
      return static_cast<int>(below(13)) - 4;
    case 3:
      return (static_cast<double>(below(40)) - 8) / 4;
    case 4: {
      std::string text;
      for (std::size_t i = below(4); i > 0; --i) text += key();
      return json::value(text);
    }
    case 5: {
      json::array items;
      for (std::size_t i = below(4); i > 0; --i) items.push_back(value(depth - 1));
      return items;
    }
    default: {
      json::object members;
      for (std::size_t i = below(4); i > 0; --i) members[key()] = value(depth - 1);
      return members;
    }
  }
}

json::array RandomJson::schemas(int depth) {
  json::array list;
  for (std::size_t i = 1 + below(3); i > 0; --i) list.push_back(schema(depth));
  return list;
}

json::value RandomJson::schema(int depth) {
  if (below(12) == 0) return below(3) != 0;
  json::object result;
  static const std::vector<const char*> types{"null", "boolean", "integer", "number", "string", "array", "object"};
  if (below(3) == 0) result["type"] = types[below(types.size())];
  if (below(9) == 0) result["type"] = json::array{types[below(types.size())], types[below(types.size())]};
  if (below(10) == 0) result["enum"] = json::array{value(2), value(2), value(1), value(0)};
  if (below(20) == 0) result["const"] = value(2);
  if (below(4) == 0) add_for_strings(result);
  if (below(4) == 0) add_for_numbers(result);
  if (depth > 0 && below(3) == 0) add_for_arrays(result, depth - 1);
  if (depth > 0 && below(2) == 0) add_for_objects(result, depth - 1);
  if (depth > 0 && below(2) == 0) add_applicators(result, depth - 1);
  return result;
}

void RandomJson::add_for_strings(json::object& schema) {
  static const std::vector<const char*> patterns{"a", "^a", "^[ab]*$", "b$", "^a?b?c?$", "c{2}"};
  if (below(2) == 0) schema["pattern"] = patterns[below(patterns.size())];
  if (below(3) == 0) schema["minLength"] = below(3);
  if (below(3) == 0) schema["maxLength"] = below(4);
}

void RandomJson::add_for_numbers(json::object& schema) {
  if (below(3) == 0) schema["minimum"] = static_cast<int>(below(9)) - 4;
  if (below(3) == 0) schema["maximum"] = static_cast<int>(below(9)) - 2;
  if (below(5) == 0) schema["exclusiveMinimum"] = static_cast<int>(below(9)) - 4;
  if (below(5) == 0) schema["exclusiveMaximum"] = static_cast<int>(below(9)) - 2;
  if (below(4) == 0) schema["multipleOf"] = below(2) == 0 ? 2.0 : 0.5;
}

void RandomJson::add_for_arrays(json::object& schema, int depth) {
  if (below(3) == 0) schema["prefixItems"] = schemas(depth);
  if (below(3) == 0) schema["items"] = this->schema(depth);
  if (below(4) == 0) schema["contains"] = this->schema(depth);
  if (below(6) == 0) schema["minContains"] = below(3);
  if (below(6) == 0) schema["maxContains"] = below(3);
  if (below(4) == 0) schema["minItems"] = below(3);
  if (below(4) == 0) schema["maxItems"] = below(4);
  if (below(4) == 0) schema["uniqueItems"] = true;
}

void RandomJson::add_for_objects(json::object& schema, int depth) {
  static const std::vector<const char*> patterns{"a", "^[bc]$", "c"};
  json::object properties;
  for (std::size_t i = below(4); i > 0; --i) properties[key()] = this->schema(depth);
  if (!properties.empty()) schema["properties"] = properties;
  if (below(4) == 0) schema["patternProperties"] = json::object{{patterns[below(3)], this->schema(depth)}};
  if (below(3) == 0) schema["additionalProperties"] = below(2) == 0 ? json::value(false) : this->schema(depth);
  if (below(6) == 0) schema["propertyNames"] = this->schema(0);
  if (below(3) == 0) schema["required"] = json::array{key()};
  if (below(5) == 0) schema["minProperties"] = below(3);
  if (below(5) == 0) schema["maxProperties"] = below(4);
  if (below(5) == 0) schema["dependentRequired"] = json::object{{key(), json::array{key()}}};
  if (below(6) == 0) schema["dependentSchemas"] = json::object{{key(), this->schema(depth)}};
  if (below(12) == 0) schema["properties"] = json::object{{"a", json::object{{"$ref", "#"}}}};
}

void RandomJson::add_applicators(json::object& schema, int depth) {
  if (below(4) == 0) schema["allOf"] = schemas(depth);
  if (below(3) == 0) schema["anyOf"] = schemas(depth);
  if (below(3) == 0) schema["oneOf"] = schemas(depth);
  if (below(5) == 0) schema["not"] = this->schema(depth);
  if (below(5) != 0) return;
  schema["if"] = this->schema(depth);
  if (below(2) == 0) schema["then"] = this->schema(depth);
  if (below(2) == 0) schema["else"] = this->schema(depth);
}

}  // namespace caudal::grammar
