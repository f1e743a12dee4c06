#include "coordinator/gateway/tools/tell_tools.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <string>

namespace caudal {
namespace {

namespace json = boost::json;

std::string told(const json::array& tools) {
  std::string text =
      "You can call functions. To call one, write a JSON object with its name and its arguments between these tags, "
      "and nothing behind it:\n<tool_call>\n{\"name\": NAME, \"arguments\": ARGUMENTS}\n</tool_call>\n"
      "Several calls stand one after another. The results come in the next message. The functions are:\n";
  for (const json::value& tool : tools) text += json::serialize(tool.at("function")) + "\n";
  return text;
}

std::string text_of(const json::value& content) {
  if (content.is_string()) return std::string(std::string_view(content.get_string()));
  std::string text;
  for (const json::value& part : content.get_array()) text += std::string_view(part.at("text").get_string());
  return text;
}

void write_calls(json::object& message) {
  std::string text = text_of(message.at("content"));
  for (const json::value& call : message.at("tool_calls").get_array()) {
    const json::object& function = call.at("function").get_object();
    const json::object written{{"name", function.at("name")}, {"arguments", function.at("arguments")}};
    if (!text.empty()) text += '\n';
    text += "<tool_call>\n" + json::serialize(written) + "\n</tool_call>";
  }
  message.erase("tool_calls");
  message["content"] = text;
}

}  // namespace

void tell_tools(const json::array& tools, json::array& messages) {
  for (json::value& each : messages) {
    json::object& message = each.get_object();
    const std::string role(std::string_view(message.at("role").get_string()));
    if (role == "assistant" && message.contains("tool_calls")) write_calls(message);
    if (role != "tool" && role != "function") continue;
    message["content"] = "<tool_response>\n" + text_of(message.at("content")) + "\n</tool_response>";
    message["role"] = "user";
  }
  json::object& first = messages.front().get_object();
  if (first.at("role").get_string() == "system") {
    first["content"] = text_of(first.at("content")) + "\n\n" + told(tools);
  } else {
    messages.insert(messages.begin(), json::object{{"role", "system"}, {"content", told(tools)}});
  }
}

}  // namespace caudal
