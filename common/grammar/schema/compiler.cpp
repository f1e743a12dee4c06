// Schemas are compiled from a list of those that were named and not read yet, so that references may form cycles.
#include "common/grammar/schema/compiler.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "common/grammar/schema/compiler_detail.h"
#include "common/grammar/schema/formats.h"
#include "common/json/strict_json.h"

namespace caudal::grammar {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxMembers = 65'536;  // of one object

Draft draft_of(const json::value& root) {
  const json::object* object = root.if_object();
  const json::value* name = object == nullptr ? nullptr : object->if_contains("$schema");
  if (name == nullptr) return Draft::k2020;
  if (!name->is_string()) throw Refusal{"must be a string", "/$schema"};
  std::string_view uri = name->get_string();
  if (uri.ends_with('#')) uri.remove_suffix(1);
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (uri.starts_with(scheme)) uri.remove_prefix(scheme.size());
  }
  if (uri == "json-schema.org/draft-04/schema") return Draft::k4;
  if (uri == "json-schema.org/draft-06/schema") return Draft::k6;
  if (uri == "json-schema.org/draft-07/schema") return Draft::k7;
  if (uri == "json-schema.org/draft/2019-09/schema") return Draft::k2019;
  if (uri == "json-schema.org/draft/2020-12/schema" || uri == "json-schema.org/schema") return Draft::k2020;
  throw Refusal{"is not a draft from 4 to 2020-12", "/$schema"};
}

}  // namespace

Result<SchemaSet> compile_schema(std::string_view text, const GrammarLimits& limits) {
  JsonRules rules{.max_depth = limits.max_depth, .max_members = kMaxMembers, .allows_nul = true};
  const Result<json::value> root = parse_strict_json(text, rules);
  if (!root) return root.error();
  try {
    return SchemaCompiler(root.value(), draft_of(root.value()), limits).compile();
  } catch (const Refusal& refusal) {
    const std::string where = refusal.pointer.empty() ? "the schema" : refusal.pointer;
    return Error{fmt::format("{}: {}", where, refusal.message), refusal.pointer};
  }
}

SchemaCompiler::SchemaCompiler(const json::value& root, Draft draft, const GrammarLimits& limits)
    : draft_(draft), limits_(limits), root_(root), references_(root, draft) {}

SchemaSet SchemaCompiler::compile() && {
  set_.root = compile_place(references_.below({}, root_, ""));
  compile_pending();
  simplify(set_, pointers_, limits_.max_states);
  return std::move(set_);
}

SchemaId SchemaCompiler::add(Schema schema, const std::string& pointer) {
  if (set_.schemas.size() >= limits_.max_nodes)
    throw Refusal{fmt::format("the schema is too large: it has more than {} parts", limits_.max_nodes), pointer};
  set_.schemas.push_back(std::move(schema));
  pointers_.push_back(pointer);
  return static_cast<SchemaId>(set_.schemas.size() - 1);
}

SchemaId SchemaCompiler::compile_place(const SchemaPlace& place) {
  const auto [known, is_new] = ids_.try_emplace(place.value, 0);
  if (!is_new) return known->second;
  const SchemaId id = known->second = add({}, place.pointer);
  pending_.emplace_back(id, place);
  return id;
}

void SchemaCompiler::compile_pending() {
  while (!pending_.empty()) {
    const auto [id, place] = std::move(pending_.back());
    pending_.pop_back();
    fill(id, place);
  }
}

void SchemaCompiler::fill(SchemaId id, const SchemaPlace& place) {
  Schema schema;
  if (place.value->is_bool()) {
    schema.types = place.value->get_bool() ? kAnyType : 0;
  } else if (const json::object* object = place.value->if_object()) {
    const Keywords from(*object, place, draft_);
    const bool only_reference = draft_ <= Draft::k7 && object->contains("$ref");
    read_references(from, schema);
    if (!only_reference) {
      read_types(from, schema);
      read_string(from, schema);
      read_number(from, schema);
      read_array(from, schema);
      read_object(from, schema);
      read_applicators(from, schema);
      read_values(from, schema);
    }
  } else {
    throw Refusal{"a schema must be an object, or true or false", place.pointer};
  }
  set_.schemas[id] = std::move(schema);
}

SchemaId SchemaCompiler::sub(const Keywords& from, const json::value& value, std::string pointer) {
  return compile_place(references_.below(from.place(), value, std::move(pointer)));
}

std::optional<SchemaId> SchemaCompiler::sub(const Keywords& from, std::string_view name) {
  const json::value* value = from.find(name);
  if (value == nullptr) return std::nullopt;
  return sub(from, *value, from.pointer(name));
}

std::vector<SchemaId> SchemaCompiler::subs(const Keywords& from, std::string_view name) {
  std::vector<SchemaId> result;
  const json::array* list = from.array(name);
  if (list == nullptr) return result;
  if (list->empty()) from.fail(name, "must not be empty");
  for (const json::value& item : *list)
    result.push_back(sub(from, item, fmt::format("{}/{}", from.pointer(name), result.size())));
  return result;
}

void SchemaCompiler::read_references(const Keywords& from, Schema& schema) {
  for (const char* name : {"$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties"}) {
    if (from.find(name) != nullptr) from.fail(name, "this keyword is not supported");
  }
  const auto reference = from.text("$ref");
  if (!reference) return;
  const auto place = references_.find(*reference, from.place());
  if (!place) from.fail("$ref", "names nothing in this document");
  schema.all_of.push_back(compile_place(*place));
}

void SchemaCompiler::read_types(const Keywords& from, Schema& schema) {
  const json::value* type = from.find("type");
  if (type == nullptr) return;
  std::vector<std::string> names;
  if (type->is_string()) {
    names.emplace_back(type->get_string());
  } else {
    names = from.names(*type, from.pointer("type"));
  }
  schema.types = 0;
  bool any_number = false;
  for (const std::string& name : names) {
    static constexpr std::array<std::pair<std::string_view, int>, 7> kTypes = {{{"null", kNull},
                                                                                {"boolean", kTrue | kFalse},
                                                                                {"number", kNumber},
                                                                                {"integer", kNumber},
                                                                                {"string", kString},
                                                                                {"array", kArray},
                                                                                {"object", kObject}}};
    const auto known = std::ranges::find(kTypes, name, [](const auto& entry) { return entry.first; });
    if (known == kTypes.end()) from.fail("type", "is not a type of JSON");
    schema.types |= static_cast<std::uint8_t>(known->second);
    any_number = any_number || name == "number";
  }
  schema.number.is_integer = (schema.types & kNumber) != 0 && !any_number;
  schema.number.allows_point = draft_ != Draft::k4 || !schema.number.is_integer;
}

void SchemaCompiler::read_string(const Keywords& from, Schema& schema) {
  if (const auto expression = from.text("pattern"))
    schema.patterns.push_back(pattern(*expression, from.pointer("pattern")));
  if (const auto name = from.text("format")) {
    auto format = find_format(*name);
    if (!format) from.fail("format", format.error().message);
    if (format.value()) schema.patterns.push_back(add_pattern(std::move(format).value()));
    if (*name == "hostname") schema.max_length = 253;
  }
  schema.min_length = from.count("minLength").value_or(0);
  schema.max_length = std::min(schema.max_length, from.count("maxLength").value_or(kNoBound));
}

void SchemaCompiler::read_number(const Keywords& from, Schema& schema) {
  NumberRule& rule = schema.number;
  rule.min = from.number("minimum");
  rule.max = from.number("maximum");
  if (draft_ == Draft::k4) {
    rule.excludes_min = from.flag("exclusiveMinimum");
    rule.excludes_max = from.flag("exclusiveMaximum");
  } else {
    NumberRule exclusive;
    exclusive.min = from.number("exclusiveMinimum");
    exclusive.max = from.number("exclusiveMaximum");
    exclusive.excludes_min = exclusive.excludes_max = true;
    rule.intersect(exclusive);
  }
  if (const auto divisor = from.number("multipleOf")) {
    if (divisor->is_negative() || divisor->is_zero()) from.fail("multipleOf", "must be above 0");
    rule.multiples_of.push_back(*divisor);
  }
}

void SchemaCompiler::read_applicators(const Keywords& from, Schema& schema) {
  for (const SchemaId id : subs(from, "allOf")) schema.all_of.push_back(id);
  if (auto group = subs(from, "anyOf"); !group.empty()) schema.any_of.push_back(std::move(group));
  if (auto group = subs(from, "oneOf"); !group.empty()) schema.one_of.push_back(std::move(group));
  if (const auto id = sub(from, "not")) schema.none_of.push_back(*id);
  if (const auto condition = sub(from, "if")) {
    schema.consequence = sub(from, "then").value_or(kNoSchema);
    schema.alternative = sub(from, "else").value_or(kNoSchema);
    if (schema.consequence != kNoSchema || schema.alternative != kNoSchema) schema.condition = *condition;
  }
}

std::uint32_t SchemaCompiler::add_pattern(std::shared_ptr<const RegexProgram> program) {
  const auto known = std::ranges::find(set_.patterns, program);
  if (known != set_.patterns.end()) return static_cast<std::uint32_t>(known - set_.patterns.begin());
  set_.patterns.push_back(std::move(program));
  return static_cast<std::uint32_t>(set_.patterns.size() - 1);
}

std::uint32_t SchemaCompiler::pattern(std::string_view expression, const std::string& pointer) {
  const auto [known, is_new] = patterns_.try_emplace(std::string(expression), 0);
  if (!is_new) return known->second;
  auto program = compile_regex(expression, RegexExtent::kSearch, limits_.max_pattern_instructions);
  if (!program) throw Refusal{program.error().message, pointer};
  set_.patterns.push_back(std::make_shared<const RegexProgram>(std::move(program).value()));
  known->second = static_cast<std::uint32_t>(set_.patterns.size() - 1);
  return known->second;
}

}  // namespace caudal::grammar
