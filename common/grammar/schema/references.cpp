// URIs are resolved as in RFC 3986, section 5, as far as identifiers of schemas go.
#include "common/grammar/schema/references.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>

namespace caudal::grammar {
namespace {

namespace json = boost::json;

// Keywords that hold one schema, a list of them, or named ones.
constexpr std::array<std::string_view, 13> kOne = {"additionalProperties",
                                                   "additionalItems",
                                                   "contains",
                                                   "propertyNames",
                                                   "not",
                                                   "if",
                                                   "then",
                                                   "else",
                                                   "items",
                                                   "unevaluatedItems",
                                                   "unevaluatedProperties",
                                                   "contentSchema",
                                                   "$ref"};
constexpr std::array<std::string_view, 5> kLists = {"allOf", "anyOf", "oneOf", "prefixItems", "items"};
constexpr std::array<std::string_view, 6> kNamed = {"properties", "patternProperties", "definitions",
                                                    "$defs",      "dependentSchemas",  "dependencies"};
constexpr int kMaxDepth = 256;

std::string decode_percent(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    int value = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr == text.data() + i + 3) {
      result += static_cast<char>(value);
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

bool has_scheme(std::string_view uri) {
  const std::size_t colon = uri.find(':');
  return colon != std::string_view::npos && colon != 0 && uri.find_first_of("/?#") > colon;
}

std::string resolve(std::string_view base, std::string_view reference) {
  if (has_scheme(reference)) return std::string(reference);
  const std::string_view whole = base.substr(0, base.find('#'));
  if (reference.empty() || reference.front() == '#') return std::string(whole) + std::string(reference);
  const std::size_t authority = whole.find("://");
  const std::size_t path = authority == std::string_view::npos ? 0 : whole.find('/', authority + 3);
  if (reference.starts_with("//")) return std::string(whole.substr(0, whole.find(':') + 1)) + std::string(reference);
  if (reference.front() == '/') return std::string(whole.substr(0, path)) + std::string(reference);
  const std::size_t slash = whole.rfind('/');
  const bool has_directory = slash != std::string_view::npos && (authority == std::string_view::npos || slash >= path);
  return (has_directory ? std::string(whole.substr(0, slash + 1)) : std::string()) + std::string(reference);
}

std::string without_empty_fragment(std::string uri) {
  if (uri.ends_with('#')) uri.pop_back();
  return uri;
}

const json::value* member(const json::value& parent, const std::string& key) {
  if (const json::object* object = parent.if_object()) return object->if_contains(key);
  const json::array* items = parent.if_array();
  std::size_t index = 0;
  if (items == nullptr || key.empty() ||
      std::from_chars(key.data(), key.data() + key.size(), index).ptr != key.data() + key.size() ||
      index >= items->size())
    return nullptr;
  return &(*items)[index];
}

}  // namespace

std::string pointer_part(std::string_view key) {
  std::string result = "/";
  for (const char c : key) {
    if (c == '~' || c == '/') {
      result += c == '~' ? "~0" : "~1";
    } else {
      result += c;
    }
  }
  return result;
}

References::References(const json::value& root, Draft draft) : draft_(draft), root_(root) {
  by_uri_[""] = {&root, "", ""};
  visit(root, "", "", 0);
}

void References::visit(const json::value& value, const std::string& pointer, std::string base, int depth) {
  const json::object* schema = value.if_object();
  if (schema == nullptr || depth > kMaxDepth) return;
  const bool only_reference = draft_ <= Draft::k7 && schema->contains("$ref") && depth > 0;
  const json::value* id = schema->if_contains(draft_ == Draft::k4 ? "id" : "$id");
  if (id != nullptr && id->is_string() && !only_reference) {
    const std::string uri = without_empty_fragment(resolve(base, id->get_string()));
    const bool is_anchor = uri.find('#') != std::string::npos;
    if (!is_anchor) base = uri;
    by_uri_.try_emplace(uri, SchemaPlace{&value, pointer, base});
    bases_[&value] = base;
  }
  for (const char* keyword : {"$anchor", "$dynamicAnchor"}) {
    const json::value* anchor = draft_ >= Draft::k2019 ? schema->if_contains(keyword) : nullptr;
    if (anchor == nullptr || !anchor->is_string()) continue;
    by_uri_.try_emplace(base + "#" + std::string(anchor->get_string()), SchemaPlace{&value, pointer, base});
  }
  if (depth == 0 && !base.empty()) by_uri_.try_emplace(base, SchemaPlace{&value, pointer, base});
  visit_members(value, pointer, base, depth);
}

void References::visit_members(const json::value& value, const std::string& pointer, const std::string& base,
                               int depth) {
  const auto has = [](const auto& names, std::string_view key) { return std::ranges::find(names, key) != names.end(); };
  for (const auto& entry : value.get_object()) {
    const std::string_view key = entry.key();
    const std::string below = pointer + pointer_part(key);
    if (has(kOne, key)) visit(entry.value(), below, base, depth + 1);
    if (has(kLists, key) && entry.value().is_array()) {
      std::size_t index = 0;
      for (const json::value& item : entry.value().get_array())
        visit(item, below + "/" + std::to_string(index++), base, depth + 1);
    }
    if (has(kNamed, key) && entry.value().is_object()) {
      for (const auto& named : entry.value().get_object())
        visit(named.value(), below + pointer_part(named.key()), base, depth + 1);
    }
  }
}

SchemaPlace References::below(const SchemaPlace& parent, const json::value& value, std::string pointer) const {
  const auto own = bases_.find(&value);
  return {&value, std::move(pointer), own == bases_.end() ? parent.base : own->second};
}

std::optional<SchemaPlace> References::find(std::string_view reference, const SchemaPlace& from) const {
  const std::string uri = without_empty_fragment(resolve(from.base, reference));
  if (const auto found = by_uri_.find(uri); found != by_uri_.end()) return found->second;
  const std::size_t hash = uri.find('#');
  const auto resource = by_uri_.find(uri.substr(0, hash));
  if (resource == by_uri_.end() || hash == std::string::npos) return std::nullopt;
  const std::string path = decode_percent(std::string_view(uri).substr(hash + 1));
  SchemaPlace place = resource->second;
  if (!path.starts_with('/')) return std::nullopt;
  for (std::size_t begin = 1; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    std::string key = path.substr(begin, end - begin);
    for (const auto& [code, c] : {std::pair("~1", '/'), std::pair("~0", '~')}) {
      for (auto at = key.find(code); at != std::string::npos; at = key.find(code, at + 1)) key.replace(at, 2, 1, c);
    }
    const json::value* next = member(*place.value, key);
    if (next == nullptr) return std::nullopt;
    place = below(place, *next, place.pointer + pointer_part(key));
    begin = end + 1;
  }
  return place;
}

}  // namespace caudal::grammar
