#include "coordinator/gateway/api/openai_tools.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json/value.hpp>
#include <set>

#include "coordinator/gateway/api/limits.h"

namespace caudal {
namespace {

namespace json = boost::json;

constexpr const char* kChoices = "It must be 'none', 'auto', 'required', a function or allowed_tools.";

bool has_text(const JsonNode& node, std::string_view name) {
  const std::optional<JsonNode> member = node.find(name);
  return member && member->is_string();
}

std::string_view text_of(const JsonNode& node, std::string_view name) {
  return has_text(node, name) ? node.at(name).string() : std::string_view();
}

void check_tool(const JsonNode& tool, std::set<std::string, std::less<>>& names) {
  if (!tool.is_object()) tool.fail("A tool must be an object.");
  if (tool.has("type") && text_of(tool, "type") != "function") {
    tool.fail_at("type", "Only the type 'function' is supported.");
  }
  const JsonNode function = check_function(tool, false);
  if (!names.emplace(function.at("name").string()).second) function.fail_at("name", "Two tools have this name.");
  const std::optional<JsonNode> parameters = function.find("parameters");
  if (parameters && !parameters->is_object()) parameters->fail("It must be an object.");
  const std::optional<JsonNode> strict = function.find("strict");
  if (strict) strict->boolean();
}

// The name in {"type":"function","function":{"name":...}}; OpenAI's newer form has it outside.
std::string named_function(const JsonNode& node) {
  if (text_of(node, "type") != "function") node.fail_at("type", "Only the type 'function' is supported.");
  const std::optional<JsonNode> function = node.find("function");
  std::string name(text_of(function ? *function : node, "name"));
  if (name.empty()) node.fail_at("function", "It needs the name of a function.");
  return name;
}

void check_known(const JsonNode& node, const json::array& tools, const std::string& name) {
  const bool known = std::ranges::any_of(
      tools, [&](const json::value& tool) { return tool.at("function").at("name").get_string() == name; });
  if (!known) node.fail("It names a function that is not among the tools.");
}

// Only these are told to the model.
void take_allowed(const JsonNode& choice, ChatInput& chat) {
  const std::optional<JsonNode> inner = choice.find("allowed_tools");
  const JsonNode& allowed = inner ? *inner : choice;
  if (!allowed.is_object()) allowed.fail("It must be an object.");
  const std::string_view mode = text_of(allowed, "mode");
  if (mode != "auto" && mode != "required") allowed.fail_at("mode", "It must be 'auto' or 'required'.");
  const std::optional<JsonNode> tools = allowed.find("tools");
  if (!tools || !tools->is_array() || tools->size() == 0) allowed.fail_at("tools", "It must be a list of functions.");
  if (tools->size() > kMaxTools) tools->fail(fmt::format("At most {} tools are allowed.", kMaxTools));
  std::set<std::string, std::less<>> names;
  for (std::size_t i = 0; i < tools->size(); ++i) {
    const std::string name = named_function(tools->at(i));
    check_known(tools->at(i), chat.tools, name);
    names.insert(name);
  }
  json::array kept;
  for (json::value& tool : chat.tools) {
    if (names.contains(std::string_view(tool.at("function").at("name").get_string()))) kept.push_back(std::move(tool));
  }
  chat.tools = std::move(kept);
  chat.tool_choice = mode == "auto" ? ToolChoice::kAuto : ToolChoice::kRequired;
}

void take_choice(const JsonNode& choice, ChatInput& chat) {
  if (choice.is_string()) {
    const std::string_view word = choice.string();
    if (word != "none" && word != "auto" && word != "required") choice.fail(kChoices);
    if (word == "none") chat.tool_choice = ToolChoice::kNone;
    if (word == "required") chat.tool_choice = ToolChoice::kRequired;
  } else if (!choice.is_object()) {
    choice.fail(kChoices);
  } else if (text_of(choice, "type") == "allowed_tools") {
    take_allowed(choice, chat);
  } else {
    chat.named_tool = named_function(choice);
    chat.tool_choice = ToolChoice::kNamed;
    check_known(choice, chat.tools, chat.named_tool);
  }
  if (chat.tool_choice == ToolChoice::kRequired && chat.tools.empty()) choice.fail("It needs tools.");
}

}  // namespace

JsonNode check_function(const JsonNode& node, bool may_be_empty) {
  const std::optional<JsonNode> function = node.find("function");
  if (!function || !function->is_object()) node.fail_at("function", "It must be an object.");
  const char* problem = may_be_empty ? "It must be a string." : "It must be a non-empty string.";
  if (!has_text(*function, "name")) function->fail_at("name", problem);
  if (!may_be_empty && function->at("name").string().empty()) function->fail_at("name", problem);
  return *function;
}

void take_tools(const JsonNode& node, json::object& source, ChatInput& chat) {
  const std::optional<JsonNode> choice = node.find("tool_choice");
  const std::optional<JsonNode> tools = node.find("tools");
  if (tools) {
    if (!tools->is_array()) tools->fail("It must be a list.");
    if (tools->size() > kMaxTools) tools->fail(fmt::format("At most {} tools are allowed.", kMaxTools));
    std::set<std::string, std::less<>> names;
    for (std::size_t i = 0; i < tools->size(); ++i) check_tool(tools->at(i), names);
    chat.tools = std::move(source.at("tools").get_array());
  }
  if (choice) take_choice(*choice, chat);
  if (chat.tool_choice == ToolChoice::kNone) chat.tools.clear();
}

}  // namespace caudal
