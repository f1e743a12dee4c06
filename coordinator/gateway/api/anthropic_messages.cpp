#include "coordinator/gateway/api/anthropic_messages.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "common/json/json_node.h"

namespace caudal {
namespace {

namespace json = boost::json;

// What has the same name and meaning in both.
constexpr std::array<std::string_view, 16> kSameFields{"model",
                                                       "max_tokens",
                                                       "temperature",
                                                       "top_p",
                                                       "top_k",
                                                       "stream",
                                                       "min_p",
                                                       "seed",
                                                       "request_id",
                                                       "cache_salt",
                                                       "user",
                                                       "priority",
                                                       "deadline_ms",
                                                       "repetition_penalty",
                                                       "frequency_penalty",
                                                       "presence_penalty"};
// What changes no answer here.
constexpr std::array<std::string_view, 10> kHarmless{"metadata",        "service_tier", "container",   "cache_control",
                                                     "inference_geo",   "betas",        "diagnostics", "speed",
                                                     "user_profile_id", "workspace_id"};
constexpr std::array<std::string_view, 9> kTranslated{"messages",      "system",        "stop_sequences",
                                                      "tools",         "tool_choice",   "thinking",
                                                      "output_format", "output_config", "chat_template_kwargs"};

bool is_type(const JsonNode& block, std::string_view type) { return block.at("type").string() == type; }

// Of blocks that are text, or a string; joined as one.
std::string text_of(const JsonNode& content) {
  if (content.is_string()) return std::string(content.string());
  std::string text;
  for (std::size_t i = 0; i < content.size(); ++i) {
    const JsonNode block = content.at(i);
    if (!is_type(block, "text")) block.fail_at("type", "Only text is supported here.");
    if (!text.empty()) text += '\n';
    text += block.at("text").string();
  }
  return text;
}

// --- Messages ---

// Templates know of no failures: the text says it.
std::string result_of(const JsonNode& block) {
  const std::optional<JsonNode> content = block.find("content");
  const std::string text = content ? text_of(*content) : "";
  return block.flag("is_error", false) ? "Error: " + text : text;
}

// Adds a message, or its text to one of the same role in front of it: templates want roles to alternate.
void add(std::string_view role, json::array parts, json::array& out) {
  if (!out.empty() && out.back().at("role").as_string() == role && out.back().at("content").is_array()) {
    json::array& before = out.back().at("content").as_array();
    before.insert(before.end(), parts.begin(), parts.end());
  } else {
    out.push_back({{"role", role}, {"content", std::move(parts)}});
  }
}

// A tool's result is a message of its own, in front of what else the user says.
void add_user(const JsonNode& message, json::array& out) {
  const JsonNode content = message.at("content");
  if (content.is_string()) return add("user", {{{"type", "text"}, {"text", content.string()}}}, out);
  json::array parts;
  for (std::size_t i = 0; i < content.size(); ++i) {
    const JsonNode block = content.at(i);
    if (is_type(block, "tool_result")) {
      out.push_back(
          {{"role", "tool"}, {"tool_call_id", block.at("tool_use_id").string()}, {"content", result_of(block)}});
    } else if (is_type(block, "text")) {
      parts.push_back({{"type", "text"}, {"text", block.at("text").string()}});
    } else {
      block.fail_at("type", "Only 'text' and 'tool_result' are supported here.");
    }
  }
  if (content.size() == 0) content.fail("It must hold at least one block.");
  if (!parts.empty()) add("user", std::move(parts), out);
}

void add_assistant(const JsonNode& message, json::array& out) {
  const JsonNode content = message.at("content");
  json::object answer{{"role", "assistant"}};
  if (content.is_string()) {
    answer["content"] = content.string();
    out.push_back(std::move(answer));
    return;
  }
  std::string text;
  std::string thinking;
  json::array calls;
  for (std::size_t i = 0; i < content.size(); ++i) {
    const JsonNode block = content.at(i);
    if (is_type(block, "text")) {
      text += block.at("text").string();
    } else if (is_type(block, "thinking")) {
      thinking += block.at("thinking").string();
    } else if (is_type(block, "tool_use")) {
      json::object function{{"name", block.at("name").string()}, {"arguments", block.at("input").object()}};
      calls.push_back({{"id", block.at("id").string()}, {"type", "function"}, {"function", std::move(function)}});
    } else if (!is_type(block, "redacted_thinking")) {  // which nobody here can read
      block.fail_at("type", "Only 'text', 'thinking' and 'tool_use' are supported here.");
    }
  }
  answer["content"] = text;
  if (!thinking.empty()) answer["reasoning_content"] = thinking;
  if (!calls.empty()) answer["tool_calls"] = std::move(calls);
  out.push_back(std::move(answer));
}

json::array messages_of(const JsonNode& body) {
  json::array out;
  if (const auto system = body.find("system")) {
    if (const std::string text = text_of(*system); !text.empty())
      out.push_back({{"role", "system"}, {"content", text}});
  }
  const JsonNode messages = body.at("messages");
  if (messages.size() == 0) messages.fail("It must hold at least one message.");
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const JsonNode message = messages.at(i);
    const std::string_view role = message.at("role").string();
    if (role == "user") {
      add_user(message, out);
    } else if (role == "assistant") {
      add_assistant(message, out);
    } else {
      message.fail_at("role", "It must be 'user' or 'assistant'.");
    }
  }
  return out;
}

// --- Tools ---

json::array tools_of(const JsonNode& tools) {
  json::array out;
  for (std::size_t i = 0; i < tools.size(); ++i) {
    const JsonNode tool = tools.at(i);
    if (tool.text("type", "custom") != "custom") tool.fail_at("type", "Only tools of the client are supported.");
    json::object function{{"name", tool.at("name").string()}, {"parameters", tool.at("input_schema").object()}};
    if (const auto description = tool.find("description")) function["description"] = description->string();
    if (tool.flag("strict", false)) function["strict"] = true;
    out.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return out;
}

void take_tool_choice(const JsonNode& choice, json::object& out) {
  const std::string_view type = choice.at("type").string();
  if (type == "auto" || type == "none") {
    out["tool_choice"] = type;
  } else if (type == "any") {
    out["tool_choice"] = "required";
  } else if (type == "tool") {
    out["tool_choice"] = {{"type", "function"}, {"function", {{"name", choice.at("name").string()}}}};
  } else {
    choice.fail_at("type", "It must be 'auto', 'any', 'tool' or 'none'.");
  }
  if (choice.flag("disable_parallel_tool_use", false)) out["parallel_tool_calls"] = false;
}

// --- The rest ---

// A client that does not ask for it gets an answer without thinking.
void take_thinking(const JsonNode& body, json::object& out) {
  const std::optional<JsonNode> thinking = body.find("thinking");
  const std::string_view type = thinking ? thinking->at("type").string() : "disabled";
  if (type != "enabled" && type != "disabled" && type != "adaptive")
    thinking->fail_at("type", "It must be 'enabled', 'adaptive' or 'disabled'.");
  const bool thinks = type != "disabled";
  out["enable_thinking"] = thinks;
  out["include_reasoning"] = thinks;
  if (!thinks) return;
  if (const auto budget = thinking->find("budget_tokens")) {
    out["thinking_token_budget"] = budget->integer(1, 1 << 24);
  } else if (type == "enabled") {
    thinking->fail_at("budget_tokens", "It is required.");
  }
}

void take_format(const JsonNode& format, json::object& out) {
  if (!is_type(format, "json_schema")) format.fail_at("type", "Only 'json_schema' is supported.");
  out["response_format"] = {{"type", "json_schema"}, {"json_schema", {{"schema", format.at("schema").value()}}}};
}

void check_known(const JsonNode& body) {
  const auto holds = [](const auto& names, std::string_view name) {
    return std::ranges::find(names, name) != names.end();
  };
  for (const auto& [name, value] : body.object()) {
    const std::string_view key = name;
    if (value.is_null() || holds(kSameFields, key) || holds(kHarmless, key) || holds(kTranslated, key)) continue;
    body.fail_at(key, "It is not supported by this endpoint.");
  }
}

json::object translate(const JsonNode& body, bool needs_max_tokens) {
  check_known(body);
  json::object out;
  for (const std::string_view name : kSameFields) {
    if (const auto field = body.find(name)) out[name] = field->value();
  }
  if (needs_max_tokens) (void)body.at("max_tokens");
  out["messages"] = messages_of(body);
  const auto last = out.at("messages").as_array().back().as_object();
  if (last.at("role").as_string() == "assistant" && !last.contains("tool_calls")) {  // the answer goes on from there
    out["continue_final_message"] = true;
    out["add_generation_prompt"] = false;
  }
  if (const auto stops = body.find("stop_sequences")) out["stop"] = stops->array();
  const std::optional<JsonNode> tools = body.find("tools");
  const bool has_tools = tools && tools->size() > 0;
  if (has_tools) out["tools"] = tools_of(*tools);
  if (const auto choice = body.find("tool_choice")) {
    take_tool_choice(*choice, out);
    if (!has_tools && out.at("tool_choice") != "auto" && out.at("tool_choice") != "none")
      choice->fail("It needs tools.");
  }
  take_thinking(body, out);
  if (const auto kwargs = body.find("chat_template_kwargs")) out["chat_template_kwargs"] = kwargs->value();
  if (const auto format = body.find("output_format")) take_format(*format, out);
  if (const auto config = body.find("output_config")) {
    if (const auto format = config->find("format")) take_format(*format, out);
    if (const auto effort = config->find("effort")) out["reasoning_effort"] = effort->string();
  }
  return out;
}

}  // namespace

Result<json::value> chat_body_of_messages(const json::value& body, bool needs_max_tokens) {
  if (!body.is_object()) return Error{"The body must be a JSON object.", ""};
  try {
    return json::value(translate(JsonNode(body), needs_max_tokens));
  } catch (const JsonError& error) {
    return Error{error.message, error.path};
  }
}

}  // namespace caudal
