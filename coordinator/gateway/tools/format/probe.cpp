#include "coordinator/gateway/tools/format/probe.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace caudal::probe {
namespace {

namespace json = boost::json;

std::string arguments_text(std::size_t call) {
  std::string text = "{";
  for (const Argument& each : kArguments) {
    if (text.size() > 1) text += ", ";
    text += '"' + std::string(each.key) + "\": " + std::string(each.json);
    if (call > 0) break;
  }
  return text + "}";
}

json::object message(std::string_view role, std::string_view content) {
  json::object message;
  message["role"] = role;
  message["content"] = content;
  return message;
}

void add_reasoning(std::string_view reasoning, json::object& message) {
  if (reasoning.empty()) return;
  for (const char* name : {"reasoning", "reasoning_content", "thinking"}) message[name] = reasoning;
}

json::object tool(std::string_view name) {
  json::object properties;
  constexpr std::array<const char*, kArguments.size()> kTypes{"string", "integer", "boolean", "object", "array"};
  for (std::size_t i = 0; i < kArguments.size(); ++i) {
    properties[kArguments[i].key] = json::object{{"type", kTypes[i]}, {"description", "one"}};
  }
  json::object parameters{{"type", "object"}, {"properties", properties}, {"required", json::array{kArguments[0].key}}};
  return {{"type", "function"},
          {"function", json::object{{"name", name}, {"description", "Does it."}, {"parameters", parameters}}}};
}

}  // namespace

std::string call_id(std::size_t index, Ids ids) {
  const std::string number = std::to_string(index);
  if (ids == Ids::kWithName) return "functions." + std::string(kNames.at(index)) + ":" + number;
  return ids == Ids::kNine ? "idq7z000" + number : "call_idq7z0123456789abcdef" + number;
}

json::array tools() { return {tool(kNames[0]), tool(kNames[1])}; }

json::array question() { return {message("user", kUser)}; }

json::array answer(std::string_view content, std::string_view reasoning) {
  json::array messages = question();
  json::object answer = message("assistant", content);
  add_reasoning(reasoning, answer);
  messages.push_back(std::move(answer));
  return messages;
}

json::array calls(std::size_t num_calls, CallStyle style, std::string_view reasoning) {
  json::array messages = question();
  json::object answer = message("assistant", "");
  add_reasoning(reasoning, answer);
  json::array calls;
  for (std::size_t i = 0; i < num_calls; ++i) {
    const std::string text = arguments_text(i);
    json::value arguments = style.arguments_as_text ? json::value(text) : json::parse(text);
    calls.push_back(json::object{{"id", call_id(i, style.ids)},
                                 {"type", "function"},
                                 {"function", json::object{{"name", kNames.at(i)}, {"arguments", arguments}}}});
  }
  answer["tool_calls"] = std::move(calls);
  messages.push_back(std::move(answer));
  return messages;
}

}  // namespace caudal::probe
