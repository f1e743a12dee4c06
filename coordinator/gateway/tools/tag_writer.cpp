#include "coordinator/gateway/tools/tag_writer.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/value.hpp>
#include <iterator>
#include <optional>
#include <utility>

#include "coordinator/gateway/tools/format/atoms.h"

namespace caudal {
namespace {

namespace json = boost::json;

constexpr std::int64_t kMaxCounted = 1024;  // characters that a grammar counts
constexpr std::string_view kTokenMark = "\xEF\xBF\xBF";

const json::object* member_of(const json::object& object, std::string_view name) {
  const json::value* member = object.if_contains(name);
  return member == nullptr ? nullptr : member->if_object();
}

bool is_required(const json::object& schema, std::string_view name) {
  const json::value* required = schema.if_contains("required");
  const json::array* names = required == nullptr ? nullptr : required->if_array();
  return names != nullptr && std::ranges::any_of(*names, [&](const json::value& each) {
           return each.is_string() && each.get_string() == name;
         });
}

// The longest of the texts that begins here.
std::size_t token_length(std::string_view text, std::span<const std::string> tokens) {
  std::size_t longest = 0;
  for (const std::string& token : tokens) {
    if (text.starts_with(token)) longest = std::max(longest, token.size());
  }
  return longest;
}

std::optional<std::int64_t> count_of(const json::object& schema, std::string_view name) {
  const json::value* count = schema.if_contains(name);
  return count != nullptr && count->is_int64() && count->get_int64() >= 0 ? std::optional(count->get_int64())
                                                                          : std::nullopt;
}

// The only texts that it may be; empty: there are others.
json::array words_of(const json::object& schema) {
  const json::value* constant_text = schema.if_contains("const");
  if (constant_text != nullptr && constant_text->is_string()) return {*constant_text};
  const json::value* words = schema.if_contains("enum");
  const json::array* list = words == nullptr ? nullptr : words->if_array();
  json::array texts;
  if (list == nullptr) return texts;
  std::ranges::copy_if(*list, std::back_inserter(texts), [](const json::value& each) { return each.is_string(); });
  return texts;
}

// A dollar behind an odd number of backslashes is a character.
bool ends_with_anchor(std::string_view pattern) {
  if (!pattern.ends_with('$')) return false;
  pattern.remove_suffix(1);
  const std::size_t last = pattern.find_last_not_of('\\');
  return (pattern.size() - (last == pattern.npos ? 0 : last + 1)) % 2 == 0;
}

// A pattern of a schema is looked for in a text; one of a grammar is the whole of it.
std::string whole_pattern(std::string_view pattern) {
  const bool apart = pattern.find('|') == std::string_view::npos;
  const bool from_start = apart && pattern.starts_with('^');
  const bool to_end = apart && ends_with_anchor(pattern);
  if (from_start) pattern.remove_prefix(1);
  if (to_end) pattern.remove_suffix(1);
  return (from_start ? "" : "[\\s\\S]*") + ("(?:" + std::string(pattern) + ")") + (to_end ? "" : "[\\s\\S]*");
}

}  // namespace

json::object constant(std::string_view value) { return {{"type", "const_string"}, {"value", value}}; }

json::object sequence(json::array elements) { return {{"type", "sequence"}, {"elements", std::move(elements)}}; }

json::object optional(json::object format) {
  return {{"type", "or"}, {"elements", json::array{std::move(format), constant("")}}};
}

json::object json_schema(json::object schema) { return {{"type", "json_schema"}, {"json_schema", std::move(schema)}}; }

std::string mark_special(std::string_view text, std::span<const std::string> special,
                         std::span<const std::string> end_tokens) {
  std::string out;
  while (!text.empty()) {
    if (token_length(text, end_tokens) > 0) break;
    const std::size_t length = token_length(text, special);
    if (length > 0) out += kTokenMark;
    out += text.substr(0, std::max(length, std::size_t{1}));
    text.remove_prefix(std::max(length, std::size_t{1}));
  }
  return out;
}

void TagWriter::literal(std::string_view text) { pending_ += text; }

void TagWriter::add(json::object format) {
  const std::string text = mark_special(std::exchange(pending_, ""), special_, end_tokens_);
  if (content_.empty()) {
    begin_ = text;
  } else if (!text.empty()) {
    content_.push_back(constant(text));
  }
  content_.push_back(std::move(format));
}

json::object TagWriter::tag() {
  if (content_.empty()) add(constant(""));
  json::object tag{{"type", "tag"}, {"begin", begin_}};
  tag["content"] = content_.size() == 1 ? content_.front() : json::value(sequence(content_));
  tag["end"] = mark_special(pending_, special_, end_tokens_);
  return tag;
}

bool SchemaProperty::is_text() const {
  const json::value* type = schema.if_contains("type");
  return type != nullptr && type->is_string() && type->get_string() == "string";
}

json::object SchemaProperty::unquoted(std::string_view begin, std::string_view end) const {
  const auto between = [&](json::object format) {
    return sequence({constant(begin), std::move(format), constant(end)});
  };
  if (const json::array words = words_of(schema); !words.empty()) {
    return between({{"type", "choices"}, {"choices", words}});
  }
  const json::value* pattern = schema.if_contains("pattern");
  if (pattern != nullptr && pattern->is_string()) {
    return between({{"type", "regex"}, {"pattern", whole_pattern(pattern->get_string())}});
  }
  const std::optional<std::int64_t> shortest = count_of(schema, "minLength"), longest = count_of(schema, "maxLength");
  if (longest && *longest <= kMaxCounted) {
    const std::string any = fmt::format("[\\s\\S]{{{},{}}}", shortest.value_or(0), *longest);
    return between({{"type", "regex"}, {"pattern", any}});
  }
  json::object rest{{"type", "tag"}, {"begin", ""}, {"content", json::object{{"type", "any_text"}}}};
  rest["end"] = end;
  if (!shortest || *shortest > kMaxCounted) return sequence({constant(begin), std::move(rest)});
  const json::object first{{"type", "regex"}, {"pattern", fmt::format("[\\s\\S]{{{}}}", *shortest)}};
  return sequence({constant(begin), first, std::move(rest)});
}

std::vector<SchemaProperty> properties_of(const json::object& schema) {
  std::vector<SchemaProperty> properties;
  const json::object* listed = member_of(schema, "properties");
  if (listed == nullptr) return properties;
  for (const auto& member : *listed) {
    SchemaProperty& property = properties.emplace_back();
    property.name = member.key();
    property.required = is_required(schema, member.key());
    if (const json::object* own = member.value().if_object()) property.schema = *own;
    for (const char* definitions : {"$defs", "definitions"}) {
      const json::value* shared = schema.if_contains(definitions);
      if (shared != nullptr && !property.schema.contains(definitions)) property.schema[definitions] = *shared;
    }
  }
  return properties;
}

}  // namespace caudal
