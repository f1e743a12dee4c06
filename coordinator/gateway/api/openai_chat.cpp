#include "coordinator/gateway/api/openai_chat.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "common/json/strict_json.h"
#include "coordinator/gateway/api/limits.h"
#include "coordinator/gateway/api/present.h"

namespace caudal {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 5> kRoles{"system", "developer", "user", "assistant", "tool"};

// `[{"type":"text","text":...}, ...]` -> one string.
Result<std::string> join_parts(const json::array& parts, const std::string& path) {
  if (parts.empty()) return Error{"The list of content parts is empty.", path};
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string part_path = fmt::format("{}[{}]", path, i);
    const json::object* part = parts[i].if_object();
    if (part == nullptr) return Error{"A content part must be an object.", part_path};
    const json::value* type = present(*part, "type");
    if (type == nullptr || !type->is_string() || type->get_string() != "text") {
      return Error{"Only content parts of type 'text' are supported.", part_path + ".type"};
    }
    const json::value* content = present(*part, "text");
    if (content == nullptr || !content->is_string()) return Error{"It must be a string.", part_path + ".text"};
    if (i > 0) text += '\n';
    text += content->get_string();
  }
  return text;
}

// Templates want the arguments as an object, clients send them as JSON text.
Result<json::value> parse_tool_call(const json::value& value, const std::string& path) {
  const json::object* call = value.if_object();
  if (call == nullptr) return Error{"A tool call must be an object.", path};
  const json::value* function = present(*call, "function");
  if (function == nullptr || !function->is_object()) return Error{"It must be an object.", path + ".function"};
  const json::value* name = present(function->get_object(), "name");
  if (name == nullptr || !name->is_string()) return Error{"It must be a string.", path + ".function.name"};
  json::object copy = *call;
  json::object& copied_function = copy["function"].get_object();
  const json::value* arguments = present(copied_function, "arguments");
  const std::string arguments_path = path + ".function.arguments";
  json::value parsed = json::object();
  if (arguments != nullptr && arguments->is_string() && !arguments->get_string().empty()) {
    Result<json::value> result = parse_strict_json(arguments->get_string());
    if (!result) return Error{"It must be the text of a JSON object.", arguments_path};
    parsed = std::move(result).value();
  } else if (arguments != nullptr && !arguments->is_string()) {
    parsed = *arguments;
  }
  if (!parsed.is_object()) return Error{"It must be the text of a JSON object.", arguments_path};
  copied_function["arguments"] = std::move(parsed);
  return json::value(std::move(copy));
}

Result<void> parse_tool_calls(json::object& message, const std::string& path) {
  const json::value* calls = present(message, "tool_calls");
  if (calls == nullptr) return {};
  if (!calls->is_array()) return Error{"It must be a list.", path};
  if (calls->get_array().size() > kMaxTools) return Error{fmt::format("At most {} are allowed.", kMaxTools), path};
  json::array parsed;
  for (std::size_t i = 0; i < calls->get_array().size(); ++i) {
    Result<json::value> call = parse_tool_call(calls->get_array()[i], fmt::format("{}[{}]", path, i));
    if (!call) return call.error();
    parsed.push_back(std::move(call).value());
  }
  message["tool_calls"] = std::move(parsed);
  return {};
}

Result<json::value> parse_content(const json::object& message, bool required, const std::string& path) {
  const json::value* content = present(message, "content");
  if (content == nullptr) {
    if (required) return Error{"It is required.", path};
    return json::value(nullptr);
  }
  if (content->is_string()) return json::value(*content);
  if (!content->is_array()) return Error{"It must be a string or a list of text parts.", path};
  Result<std::string> joined = join_parts(content->get_array(), path);
  if (!joined) return joined.error();
  return json::value(joined.value());
}

Result<json::object> parse_message(const json::value& value, const std::string& path) {
  if (!value.is_object()) return Error{"A message must be an object.", path};
  json::object message = value.get_object();
  const json::value* role = present(message, "role");
  const bool known = role != nullptr && role->is_string() &&
                     std::find(kRoles.begin(), kRoles.end(), std::string_view(role->get_string())) != kRoles.end();
  if (!known) return Error{"It must be one of system, developer, user, assistant, tool.", path + ".role"};
  if (present(message, "function_call") != nullptr) {
    return Error{"It is not supported; use tool_calls.", path + ".function_call"};
  }
  for (const std::string_view name : {"name", "tool_call_id", "reasoning_content", "refusal"}) {
    const json::value* text = present(message, name);
    if (text != nullptr && !text->is_string()) return Error{"It must be a string.", fmt::format("{}.{}", path, name)};
  }
  const bool assistant = role->get_string() == "assistant";
  Result<json::value> content = parse_content(message, !assistant, path + ".content");
  if (!content) return content.error();
  const Result<void> calls = parse_tool_calls(message, path + ".tool_calls");
  if (!calls) return calls.error();
  if (content.value().is_null() && present(message, "tool_calls") == nullptr) {
    return Error{"It is required unless there are tool calls.", path + ".content"};
  }
  message["content"] = std::move(content).value();
  return message;
}

Result<void> parse_tools(const json::object& body, ChatInput& chat) {
  const json::value* choice = present(body, "tool_choice");
  const bool none = choice != nullptr && choice->is_string() && choice->get_string() == "none";
  const bool automatic = choice == nullptr || (choice->is_string() && choice->get_string() == "auto");
  if (!none && !automatic) return Error{"Only 'none' and 'auto' are supported.", "tool_choice"};
  const json::value* tools = present(body, "tools");
  if (tools == nullptr) return {};
  if (!tools->is_array()) return Error{"It must be a list.", "tools"};
  if (tools->get_array().size() > kMaxTools) {
    return Error{fmt::format("At most {} tools are allowed.", kMaxTools), "tools"};
  }
  for (std::size_t i = 0; i < tools->get_array().size(); ++i) {
    const std::string path = fmt::format("tools[{}]", i);
    const json::object* tool = tools->get_array()[i].if_object();
    if (tool == nullptr) return Error{"A tool must be an object.", path};
    const json::value* type = present(*tool, "type");
    if (type != nullptr && (!type->is_string() || type->get_string() != "function")) {
      return Error{"Only the type 'function' is supported.", path + ".type"};
    }
    const json::value* function = present(*tool, "function");
    if (function == nullptr || !function->is_object()) return Error{"It must be an object.", path + ".function"};
    const json::value* name = present(function->get_object(), "name");
    if (name == nullptr || !name->is_string() || name->get_string().empty()) {
      return Error{"It must be a non-empty string.", path + ".function.name"};
    }
  }
  if (!none) chat.tools = tools->get_array();
  return {};
}

}  // namespace

Result<void> parse_chat_input(const json::object& body, ChatInput& chat) {
  const json::value* messages = present(body, "messages");
  if (messages == nullptr) return Error{"It is required.", "messages"};
  if (!messages->is_array()) return Error{"It must be a list of messages.", "messages"};
  const json::array& list = messages->get_array();
  if (list.empty()) return Error{"It must hold at least one message.", "messages"};
  if (list.size() > kMaxMessages)
    return Error{fmt::format("At most {} messages are allowed.", kMaxMessages), "messages"};
  for (std::size_t i = 0; i < list.size(); ++i) {
    Result<json::object> message = parse_message(list[i], fmt::format("messages[{}]", i));
    if (!message) return message.error();
    chat.messages.emplace_back(std::move(message).value());
  }
  if (chat.continue_final_message) {
    if (chat.add_generation_prompt) {
      return Error{"It needs add_generation_prompt to be false.", "continue_final_message"};
    }
    if (chat.messages.back().get_object()["role"].get_string() != "assistant") {
      return Error{"The last message must be the assistant's.", "continue_final_message"};
    }
  }
  const json::value* kwargs = present(body, "chat_template_kwargs");
  if (kwargs != nullptr && !kwargs->is_object()) return Error{"It must be an object.", "chat_template_kwargs"};
  if (kwargs != nullptr) chat.template_kwargs = kwargs->get_object();
  return parse_tools(body, chat);
}

}  // namespace caudal
