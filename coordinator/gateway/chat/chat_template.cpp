#include "coordinator/gateway/chat/chat_template.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "common/check.h"
#include "coordinator/gateway/chat/conversation.h"
#include "coordinator/gateway/jinja/evaluator/template.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/json.h"
#include "coordinator/gateway/tools/format/find_format.h"

namespace caudal {
namespace {

namespace json = boost::json;

jinja::Value array_value(const json::array& array) {
  std::vector<jinja::Value> items;
  items.reserve(array.size());
  for (const json::value& item : array) items.push_back(jinja::from_json(item));
  return jinja::Value::list(std::move(items));
}

std::optional<jinja::Value> text_value(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  return jinja::Value(*text);
}

std::optional<jinja::Value> variable(const ChatTemplateInput& input, const std::string& name) {
  if (name == "messages") return array_value(*input.messages);
  if (name == "tools") return input.tools ? array_value(*input.tools) : jinja::Value(jinja::None{});
  if (name == "add_generation_prompt") return jinja::Value(input.add_generation_prompt);
  if (name == "bos_token") return text_value(input.bos_token);
  if (name == "eos_token") return text_value(input.eos_token);
  const json::value* extra = input.variables ? input.variables->if_contains(name) : nullptr;
  if (extra) return jinja::from_json(*extra);
  if (name == "documents") return jinja::Value(jinja::None{});  // as transformers passes it
  return std::nullopt;
}

Error to_error(const jinja::TemplateError& error) {
  if (error.raised_by_template) return {error.message, "messages"};
  const std::string where = error.line > 0 ? " (line " + std::to_string(error.line) + ")" : "";
  return {error.message + where, "chat_template"};
}

// Renders the probes of find_format. Tokens of the beginning and the end are left out: they are no text of the model.
RenderChat probe_renderer(const ChatTemplate& chat_template) {
  return [&chat_template](const ProbeChat& chat) -> std::optional<std::string> {
    json::array messages = chat.messages;
    fit_to_template(chat_template.traits(), messages);
    json::object variables;
    if (chat.thinks) variables = {{"enable_thinking", true}, {"thinking", true}};
    ChatTemplateInput input;
    input.messages = &messages;
    input.tools = chat.tools;
    input.variables = &variables;
    input.add_generation_prompt = chat.add_generation_prompt;
    input.bos_token = input.eos_token = "";
    Result<std::string> text = chat_template.render(input);
    if (!text) return std::nullopt;
    return std::move(text).value();
  };
}

}  // namespace

Result<ChatTemplate> ChatTemplate::parse(std::string_view source) {
  try {
    ChatTemplate parsed(std::make_shared<const jinja::ast::Template>(jinja::parse_template(source)));
    parsed.traits_ = find_traits(source, [&](const json::array& messages, const json::array* tools) {
      ChatTemplateInput probe;
      probe.messages = &messages;
      probe.tools = tools;
      probe.bos_token = probe.eos_token = "";
      return parsed.render(probe);
    });
    parsed.output_format_ = find_format(source, probe_renderer(parsed));
    return parsed;
  } catch (const jinja::TemplateError& error) {
    return to_error(error);
  }
}

Result<std::string> ChatTemplate::render(const ChatTemplateInput& input) const {
  CHECK(input.messages != nullptr);
  const auto lookup = [&](const std::string& name) { return variable(input, name); };
  jinja::Limits limits;
  limits.max_output_bytes = input.max_output_bytes;
  limits.max_time = input.max_time;
  try {
    return jinja::render_template(*parsed_, {lookup, input.now, limits});
  } catch (const jinja::TemplateError& error) {
    return to_error(error);
  }
}

}  // namespace caudal
