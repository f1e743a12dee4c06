#include "coordinator/gateway/tools/tell_tools.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "coordinator/gateway/tools/call_text.h"

namespace caudal {
namespace {

namespace json = boost::json;

std::string told(const ToolFormat& format, const json::array& tools) {
  const json::object arguments{{"KEY", "VALUE"}};
  std::string text =
      "You can call functions. To call one, write its name and its arguments like this, and nothing behind it:\n" +
      call_text(format, {{"NAME", arguments, "1"}}) +
      "\nSeveral calls stand one after another. The results come in the next message. The functions are:\n";
  for (const json::value& tool : tools) text += json::serialize(tool.at("function")) + "\n";
  return text;
}

std::string text_of(const json::value& content) {
  if (content.is_string()) return std::string(std::string_view(content.get_string()));
  std::string text;
  for (const json::value& part : content.get_array()) text += std::string_view(part.at("text").get_string());
  return text;
}

void write_calls(const ToolFormat& format, json::object& message) {
  std::string text = text_of(message.at("content"));
  std::vector<WrittenCall> calls;
  for (const json::value& call : message.at("tool_calls").get_array()) {
    const json::object& function = call.at("function").get_object();
    calls.push_back({function.at("name").get_string(), function.at("arguments").get_object(), "1"});
  }
  if (!text.empty()) text += '\n';
  text += call_text(format, calls);
  message.erase("tool_calls");
  message["content"] = text;
}

}  // namespace

void tell_tools(const ToolFormat& format, const json::array& tools, json::array& messages) {
  for (json::value& each : messages) {
    json::object& message = each.get_object();
    const std::string role(std::string_view(message.at("role").get_string()));
    if (role == "assistant" && message.contains("tool_calls")) write_calls(format, message);
    if (role != "tool" && role != "function") continue;
    message["content"] = "<tool_response>\n" + text_of(message.at("content")) + "\n</tool_response>";
    message["role"] = "user";
  }
  if (tools.empty()) return;
  json::object& first = messages.front().get_object();
  if (first.at("role").get_string() == "system") {
    first["content"] = text_of(first.at("content")) + "\n\n" + told(format, tools);
  } else {
    messages.insert(messages.begin(), json::object{{"role", "system"}, {"content", told(format, tools)}});
  }
}

}  // namespace caudal
