#include "coordinator/gateway/api/openai_chat.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string_view>

#include "common/json/json_node.h"
#include "common/json/strict_json.h"
#include "coordinator/gateway/api/limits.h"
#include "coordinator/gateway/api/openai_tools.h"

// Values are checked through JsonNode, which knows their path, and then changed where they are. A node holds a pointer
// into its value: it is not used any more once that has changed. Members that exist are reached by at(), because
// operator[] makes room for one more first, which moves all members of a full object.
namespace caudal {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxRoleBytes = 64;
constexpr std::array<std::string_view, 3> kTextParts{"text", "input_text", "output_text"};

JsonNode required(const JsonNode& node, std::string_view name) {
  const std::optional<JsonNode> member = node.find(name);
  if (!member) node.fail_at(name, "It is required.");
  return *member;
}

void check_object(const JsonNode& node, const char* message) {
  if (!node.is_object()) node.fail(message);
}

// Whether the member is a string. Absent is none.
bool is_text(const JsonNode& node, std::string_view name) {
  const std::optional<JsonNode> member = node.find(name);
  return member && member->is_string();
}

// A string counts as a part; the names of other endpoints for a part with text, and a refusal, become "text".
void convert_part(const JsonNode& part, json::value& target) {
  if (part.is_string()) {
    target = json::object{{"type", "text"}, {"text", part.string()}};
    return;
  }
  check_object(part, "A content part must be an object.");
  const std::string type(is_text(part, "type") ? part.at("type").string() : "");
  const bool refusal = type == "refusal";
  if (!refusal && std::ranges::find(kTextParts, type) == kTextParts.end()) {
    part.fail_at("type", "Only content parts of type 'text' are supported.");
  }
  const char* name = refusal ? "refusal" : "text";
  if (!is_text(part, name)) part.fail_at(name, "It must be a string.");
  json::object& object = target.get_object();
  if (refusal) {
    json::value text = std::move(object.at(name));
    object["text"] = std::move(text);
  }
  if (type != "text") object.at("type") = "text";
}

// Templates want the arguments as an object, clients send them as JSON text. Models write it, and not always well: what
// is no object is an empty one, and of two members with one name the last counts.
void convert_tool_call(const JsonNode& node, json::object& call) {
  const JsonNode function = check_function(node, true);
  const std::optional<JsonNode> arguments = function.find("arguments");
  if (arguments && arguments->is_object()) return;
  json::value parsed;
  if (arguments && arguments->is_string()) {
    boost::system::error_code failed;
    json::parse_options options;
    options.max_depth = kRequestJson.max_depth;
    parsed = json::parse(arguments->string(), failed, {}, options);
  }
  if (!parsed.is_object()) parsed = json::object();
  call.at("function").get_object()["arguments"] = std::move(parsed);
}

void convert_tool_calls(const JsonNode& message, json::object& target) {
  const std::optional<JsonNode> calls = message.find("tool_calls");
  if (!calls) return;
  if (!calls->is_array()) calls->fail("It must be a list.");
  if (calls->size() > kMaxTools) calls->fail(fmt::format("At most {} are allowed.", kMaxTools));
  json::array& list = target.at("tool_calls").get_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    check_object(calls->at(i), "A tool call must be an object.");
    convert_tool_call(calls->at(i), list[i].get_object());
  }
  if (list.empty()) target.at("tool_calls") = nullptr;
}

// An answer may be something else than text, and a tool may have nothing to say.
bool may_be_silent(const JsonNode& message) {
  const std::string_view role = message.at("role").string();
  if (role == "tool" || role == "function") return true;
  const auto has = [&](std::string_view name) { return message.has(name); };
  return role == "assistant" && (has("tool_calls") || has("reasoning") || has("reasoning_content") || has("refusal"));
}

// Templates join content to text without a look at it: where there is none they get "".
void convert_content(const JsonNode& message, json::object& target) {
  const std::optional<JsonNode> content = message.find("content");
  const bool empty = !content || (content->is_array() && content->size() == 0);
  if (empty && !may_be_silent(message)) {
    if (content) content->fail("The list of content parts is empty.");
    const bool answer = message.at("role").string() == "assistant";
    message.fail_at("content", answer ? "It is required unless there are tool calls." : "It is required.");
  }
  if (empty) {
    target["content"] = "";
  } else if (content->is_array()) {
    json::array& parts = target.at("content").get_array();
    for (std::size_t i = 0; i < parts.size(); ++i) convert_part(content->at(i), parts[i]);
  } else if (!content->is_string()) {
    content->fail("It must be a string or a list of text parts.");
  }
}

// Templates know one or the other of the names. The third is gpt-oss's, whose template wants it or content, not both,
// where there are calls.
void share_reasoning(json::object& message) {
  constexpr std::array<std::string_view, 2> kNames{"reasoning", "reasoning_content"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const json::value* const given = message.if_contains(kNames[i]);
    if (given == nullptr || message.contains(kNames[1 - i])) continue;
    json::value copy = *given;
    message[kNames[1 - i]] = std::move(copy);
  }
  const json::value* const reasoning = message.if_contains(kNames[0]);
  if (reasoning == nullptr || message.contains("thinking")) return;
  const json::value& content = message.at("content");
  const bool silent = content.is_string() && content.get_string().empty();
  if (message.contains("tool_calls") && !silent) return;
  json::value copy = *reasoning;
  message["thinking"] = std::move(copy);
}

// To a template a member that is null would not be an absent one.
void drop_null_members(json::object& message) {
  for (auto member = message.begin(); member != message.end();) {
    member = member->value().is_null() ? message.stable_erase(member) : member + 1;
  }
}

void convert_message(const JsonNode& message, json::object& target) {
  const std::string_view role = is_text(message, "role") ? message.at("role").string() : "";
  if (role.empty() || role.size() > kMaxRoleBytes) {
    message.fail_at("role", fmt::format("It must be a string of 1 to {} bytes.", kMaxRoleBytes));
  }
  if (message.has("function_call")) message.fail_at("function_call", "It is not supported; use tool_calls.");
  for (const std::string_view name : {"name", "tool_call_id", "reasoning", "reasoning_content", "refusal"}) {
    if (message.has(name) && !is_text(message, name)) message.fail_at(name, "It must be a string.");
  }
  convert_content(message, target);
  convert_tool_calls(message, target);
  drop_null_members(target);
  share_reasoning(target);
}

void take_messages(const JsonNode& body, json::object& source, ChatInput& chat) {
  const JsonNode messages = required(body, "messages");
  if (!messages.is_array()) messages.fail("It must be a list of messages.");
  if (messages.size() == 0) messages.fail("It must hold at least one message.");
  if (messages.size() > kMaxMessages) messages.fail(fmt::format("At most {} messages are allowed.", kMaxMessages));
  json::array& list = source.at("messages").get_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    check_object(messages.at(i), "A message must be an object.");
    convert_message(messages.at(i), list[i].get_object());
  }
  chat.messages = std::move(list);
}

void check_continuation(const ChatInput& chat) {
  if (!chat.continue_final_message) return;
  if (chat.add_generation_prompt) {
    throw JsonError{"It needs add_generation_prompt to be false.", "continue_final_message"};
  }
  if (chat.messages.back().get_object().at("role").get_string() != "assistant") {
    throw JsonError{"The last message must be the assistant's.", "continue_final_message"};
  }
}

}  // namespace

void take_chat_input(json::value& body, ChatInput& chat) {
  const JsonNode node(body);
  json::object& source = body.get_object();
  take_messages(node, source, chat);
  check_continuation(chat);
  const std::optional<JsonNode> kwargs = node.find("chat_template_kwargs");
  if (kwargs && !kwargs->is_object()) kwargs->fail("It must be an object.");
  if (kwargs) chat.template_kwargs = std::move(source.at("chat_template_kwargs").get_object());
  if (!chat.reasoning_effort.empty()) chat.template_kwargs["reasoning_effort"] = chat.reasoning_effort;
  if (chat.enable_thinking) chat.template_kwargs["enable_thinking"] = *chat.enable_thinking;
  take_tools(node, source, chat);
}

}  // namespace caudal
