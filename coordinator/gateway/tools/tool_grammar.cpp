#include "coordinator/gateway/tools/tool_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <utility>

#include "common/json/strict_json.h"
#include "coordinator/gateway/tools/closed_schema.h"
#include "coordinator/gateway/tools/format/atoms.h"
#include "coordinator/gateway/tools/tag_writer.h"

namespace caudal {
namespace {

namespace json = boost::json;
using Kind = CallElement::Kind;

constexpr std::string_view kId = "[A-Za-z0-9_.-]{1,64}";
constexpr std::string_view kNineId = "[A-Za-z0-9]{9}";

const json::object& function_of(const json::value& tool) { return tool.at("function").get_object(); }

bool is_strict(const json::object& function) {
  const json::value* strict = function.if_contains("strict");
  return strict != nullptr && strict->is_bool() && strict->get_bool();
}

// A function without a schema takes any object, and so does one that nothing holds to it.
json::object schema_of(const json::object& function, bool held) {
  const json::value* parameters = function.if_contains("parameters");
  if (held && parameters != nullptr && parameters->is_object()) return closed_schema(parameters->get_object());
  return {{"type", "object"}};
}

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

class CallWriter {
 public:
  explicit CallWriter(const GrammarRequest& request) : request_(request), format_(*request.format.tools) {
    const CallElement& first = format_.call.front();
    const CallElement& last = format_.call.back();
    if (first.kind == Kind::kLiteral) lead_ = first.text.substr(0, first.text.size() - trimmed_left(first.text).size());
    if (last.kind == Kind::kLiteral) trail_ = last.text.substr(trimmed_right(last.text).size());
  }

  // Of one function, without the white space around it, which belongs to what stands around it.
  json::object tag(const json::object& function) const {
    const bool held = request_.required || is_strict(function);
    const std::string_view name = function.at("name").get_string();
    const json::object schema = schema_of(function, held);
    TagWriter writer(request_.special, request_.end_tokens);
    std::vector<CallElement> call = format_.call;
    if (!lead_.empty()) call.front().text.erase(0, lead_.size());
    if (!trail_.empty()) call.back().text.resize(call.back().text.size() - trail_.size());
    for (const CallElement& element : call) add(element, name, schema, held, writer);
    return writer.tag();
  }

  json::array tags() const {
    json::array tags;
    for (const json::value& tool : request_.tools) {
      const json::object& function = function_of(tool);
      if (!request_.only.empty() && function.at("name").get_string() != request_.only) continue;
      tags.push_back(tag(function));
    }
    return tags;
  }

  // Of all functions, where nothing but an object says that it is a call: any white space that the reader takes.
  json::array spelled_tags() const {
    json::array tags;
    for (const json::value& tool : request_.tools) {
      for (const std::string& opening : format_.object_openings()) {
        tags.push_back(spelled_tag(function_of(tool), opening));
      }
    }
    return tags;
  }

  // One call or several, without what opens and closes the block.
  json::object calls() const {
    const bool one = !request_.parallel || !format_.several || !request_.only.empty();
    return {{"type", "tags_with_separator"},
            {"tags", tags()},
            {"separator", marked(trail_ + format_.separator + lead_)},
            {"at_least_one", true},
            {"stop_after_first", one}};
  }

  std::string block_open() const { return marked(std::string(trimmed_left(format_.block_open)) + lead_); }
  std::string block_close() const { return marked(trail_ + format_.block_close); }
  std::string marked(std::string_view text) const { return mark_special(text, request_.special, request_.end_tokens); }

 private:
  json::object spelled_tag(const json::object& function, const std::string& opening) const {
    const ObjectForm& form = format_.object;
    const json::object space{{"type", "regex"}, {"pattern", "[ \\n\\r\\t]{0,16}"}};
    json::array content;
    const auto add_parts = [&](std::initializer_list<std::string> parts) {
      for (const std::string& part : parts) {
        content.push_back(space);
        content.push_back(constant(part));
      }
      content.push_back(space);
    };
    add_parts({":", quoted(function.at("name").get_string()), ",", quoted(form.arguments_key), ":"});
    content.push_back(json_schema(schema_of(function, is_strict(function))));
    if (!form.id_key.empty()) {
      add_parts({",", quoted(form.id_key), ":", "\""});
      content.push_back({{"type", "regex"}, {"pattern", id_pattern()}});
      content.push_back(constant("\""));
    }
    content.push_back(space);
    return {{"type", "tag"}, {"begin", opening}, {"content", sequence(std::move(content))}, {"end", "}"}};
  }

  void add(const CallElement& element, std::string_view name, const json::object& schema, bool held,
           TagWriter& writer) const {
    switch (element.kind) {
      case Kind::kLiteral:
        return writer.literal(element.text);
      case Kind::kName:
        return writer.literal(name);
      case Kind::kSkip:
        return element.text.empty() ? writer.add({{"type", "regex"}, {"pattern", id_pattern()}})
                                    : writer.literal(element.text);
      case Kind::kObject:
        return add_object(name, schema, writer);
      case Kind::kJson:
        return writer.add(json_schema(schema));
      case Kind::kParameters:
        return add_parameters(schema, held, writer);
      case Kind::kLoose:
        return add_loose(schema, writer);
    }
  }

  std::string_view id_pattern() const { return format_.ids == ToolFormat::Ids::kNineCharacters ? kNineId : kId; }

  void add_object(std::string_view name, const json::object& schema, TagWriter& writer) const {
    const ObjectForm& form = format_.object;
    if (form.name_key.empty()) {
      writer.literal("{" + quoted(name) + ": ");
    } else {
      writer.literal("{" + quoted(form.name_key) + ": " + quoted(name) + ", " + quoted(form.arguments_key) + ": ");
    }
    writer.add(json_schema(schema));
    if (!form.id_key.empty()) {
      writer.literal(", " + quoted(form.id_key) + ": \"");
      writer.add({{"type", "regex"}, {"pattern", id_pattern()}});
      writer.literal("\"");
    }
    writer.literal("}");
  }

  // A held function without properties is called with none: free text need not be a call.
  void add_parameters(const json::object& schema, bool held, TagWriter& writer) const {
    const ParameterForm& form = format_.parameters;
    const std::vector<SchemaProperty> properties = properties_of(schema);
    if (!held) return writer.add({{"type", "any_text"}});
    for (const SchemaProperty& property : properties) {
      std::string close = form.close;
      if (form.close_has_key) close.insert(form.key_in_close, property.name);
      const std::string begin = marked(form.open + property.name + key_close(property));
      const json::object value =
          property.is_text() ? property.unquoted(begin, marked(close))
                             : sequence({constant(begin), json_schema(property.schema), constant(marked(close))});
      writer.add(property.required ? value : optional(value));
    }
  }

  // Some formats tell strings from other values, some every type, in the order of the probe's arguments.
  const std::string& key_close(const SchemaProperty& property) const {
    constexpr std::array<std::string_view, 5> kTypes{"string", "integer", "boolean", "object", "array"};
    const std::vector<std::string>& closes = format_.parameters.key_closes;
    const json::value* type = property.schema.if_contains("type");
    if (property.is_text()) return closes.front();
    if (closes.size() != kTypes.size() || type == nullptr || !type->is_string()) return closes.back();
    const std::string_view name = type->get_string() == "number" ? "integer" : std::string_view(type->get_string());
    const auto* const found = std::ranges::find(kTypes, name);
    return found == kTypes.end() ? closes.back() : closes[static_cast<std::size_t>(found - kTypes.begin())];
  }

  // key=value, key=value in the brackets of the format.
  void add_loose(const json::object& schema, TagWriter& writer) const {
    const char open = format_.loose.open;
    writer.literal(std::string(1, open));
    std::vector<SchemaProperty> properties = properties_of(schema);
    std::ranges::stable_partition(properties, &SchemaProperty::required);
    json::array ways;
    const bool some_required = !properties.empty() && properties.front().required;
    for (std::size_t first = 0; first < properties.size() && (first == 0 || !some_required); ++first) {
      json::array elements{loose_argument(properties[first], "")};
      for (std::size_t i = first + 1; i < properties.size(); ++i) {
        const json::object next = loose_argument(properties[i], ", ");
        elements.push_back(properties[i].required ? next : optional(next));
      }
      ways.push_back(sequence(std::move(elements)));
    }
    if (!some_required) ways.push_back(constant(""));
    writer.add({{"type", "or"}, {"elements", std::move(ways)}});
    writer.literal(open == '(' ? ")" : "}");
  }

  json::object loose_argument(const SchemaProperty& property, std::string_view comma) const {
    const std::string key = std::string(comma) + property.name + format_.loose.key_close;
    const std::string quote = marked(format_.loose.quote);
    if (property.is_text() && format_.loose.quote.size() > 1) return property.unquoted(key + quote, quote);
    return sequence({constant(key), json_schema(property.schema)});
  }

  const GrammarRequest& request_;
  const ToolFormat& format_;
  std::string lead_;   // white space in front of a call
  std::string trail_;  // and behind it
};

// What opens the block, the calls, and what closes it.
json::object block(const CallWriter& writer, const ToolFormat& format) {
  json::array elements;
  if (visible(format.block_open)) elements.push_back(constant(writer.block_open()));
  elements.push_back(writer.calls());
  if (visible(format.block_open) && visible(format.block_close)) elements.push_back(constant(writer.block_close()));
  return sequence(std::move(elements));
}

// Free text with calls in it: from the mark that opens one on, the grammar holds.
std::optional<json::object> triggered(const GrammarRequest& request, const CallWriter& writer) {
  const ToolFormat& format = *request.format.tools;
  json::array tags, triggers, excluded;
  // The same in letters is a call to the reader, too.
  const auto add_trigger = [&](std::string_view mark) {
    triggers.push_back(json::string(writer.marked(mark)));
    if (writer.marked(mark) != mark) excluded.push_back(json::string(mark));
  };
  const bool literal = format.call.front().kind == Kind::kLiteral && visible(format.call.front().text);
  if (visible(format.block_open) && !format.bare()) {
    add_trigger(trimmed(format.block_open));
    json::object tag{{"type", "tag"}, {"begin", writer.block_open()}, {"content", writer.calls()}};
    tag["end"] = writer.block_close();
    tags.push_back(std::move(tag));
  } else if (literal && !visible(format.block_open)) {
    add_trigger(trimmed(format.call.front().text));
    tags = writer.tags();
  } else if (format.call.front().kind == Kind::kObject && !format.object.name_key.empty()) {
    for (const std::string& opening : format.object_openings()) triggers.push_back(json::string(opening));
    tags = writer.spelled_tags();
  } else {
    return std::nullopt;
  }
  return json::object{{"type", "triggered_tags"}, {"triggers", std::move(triggers)},
                      {"tags", std::move(tags)},  {"excludes", std::move(excluded)},
                      {"at_least_one", false},    {"stop_after_first", !request.parallel}};
}

// Behind the end of the reasoning, where there is some; models put white space there.
json::object behind_reasoning(const GrammarRequest& request, json::object rest) {
  if (!request.format.reasoning || (!request.in_reasoning && !request.may_reason)) return rest;
  const ReasoningFormat& reasoning = *request.format.reasoning;
  const auto marked = [&](std::string_view text) { return mark_special(text, request.special, request.end_tokens); };
  const std::string begin = request.in_reasoning ? "" : marked(reasoning.open);
  json::object thinking{{"type", "tag"}, {"begin", begin}, {"content", json::object{{"type", "any_text"}}}};
  // What is read is text, so that the mark's plain spelling ends it, too.
  const std::string end = marked(reasoning.close);
  json::array ends{json::string(end)};
  if (!end.empty() && end != reasoning.close) ends.push_back(json::string(reasoning.close));
  thinking["end"] = std::move(ends);
  const json::object space{{"type", "regex"}, {"pattern", "[ \\n]{0,4}"}};
  json::object whole = sequence({std::move(thinking), space, rest});
  if (request.in_reasoning) return whole;
  return {{"type", "or"}, {"elements", json::array{std::move(whole), std::move(rest)}}};
}

std::string structural(const GrammarRequest& request, json::object format) {
  return json::serialize(
      json::object{{"type", "structural_tag"}, {"format", behind_reasoning(request, std::move(format))}});
}

json::object opened_content(const GrammarRequest& request, const json::object& content) {
  if (!visible(request.format.content_open)) return content;
  return sequence({constant(mark_special(request.format.content_open, request.special, request.end_tokens)), content});
}

}  // namespace

bool has_strict_tool(const json::array& tools) {
  return std::ranges::any_of(tools, [](const json::value& tool) { return is_strict(function_of(tool)); });
}

Result<std::string> tool_grammar(const GrammarRequest& request, const json::object* content) {
  const CallWriter writer(request);
  const json::object calls = block(writer, *request.format.tools);
  if (request.required) return structural(request, calls);
  if (content != nullptr) {
    json::array ways{opened_content(request, *content), calls};
    return structural(request, {{"type", "or"}, {"elements", std::move(ways)}});
  }
  std::optional<json::object> free = triggered(request, writer);
  if (!free) {
    const auto strict =
        std::ranges::find_if(request.tools, [](const auto& tool) { return is_strict(function_of(tool)); });
    return Error{
        "The served model writes calls without a mark that tells them from text: it needs a tool_choice that requires "
        "one.",
        fmt::format("tools[{}].function.strict", strict - request.tools.begin())};
  }
  return structural(request, std::move(*free));
}

std::string content_grammar(const GrammarRequest& request, const json::object& content) {
  return structural(request, opened_content(request, content));
}

}  // namespace caudal
