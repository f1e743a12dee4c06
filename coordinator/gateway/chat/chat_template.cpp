#include "coordinator/gateway/chat/chat_template.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <fstream>
#include <sstream>

#include "common/check.h"
#include "coordinator/gateway/jinja/evaluator/template.h"
#include "coordinator/gateway/jinja/value/error.h"
#include "coordinator/gateway/jinja/value/json.h"

namespace caudal {
namespace {

namespace json = boost::json;

constexpr char kTemplateFile[] = "chat_template.jinja";
constexpr char kConfigFile[] = "tokenizer_config.json";
// Far above any published one; keeps a wrong file from being read into memory.
constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{64} << 20;

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

Result<std::string> read_file(const std::filesystem::path& path, const char* name) {
  std::error_code failure;
  const std::uintmax_t size = std::filesystem::file_size(path, failure);
  if (failure) return Error{"cannot read the file", name};
  if (size > kMaxFileBytes) return Error{"the file is too large", name};
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file || !content) return Error{"cannot read the file", name};
  return std::move(content).str();
}

// The template text in a tokenizer configuration.
Result<std::string> configured_template(const json::value& config) {
  const json::object* object = config.if_object();
  const json::value* entry = object ? object->if_contains("chat_template") : nullptr;
  if (!entry || entry->is_null()) return Error{"the model has no chat template", kConfigFile};
  if (const json::string* text = entry->if_string()) return std::string(*text);
  const json::array* named = entry->if_array();
  for (size_t i = 0; named && i < named->size(); ++i) {
    const json::object* item = (*named)[i].if_object();
    const json::value* name = item ? item->if_contains("name") : nullptr;
    const json::value* text = item ? item->if_contains("template") : nullptr;
    if (name && *name == "default" && text && text->is_string()) return std::string(text->get_string());
  }
  return Error{"'chat_template' is neither text nor a list with a template named 'default'", kConfigFile};
}

Result<ChatTemplate> parse_named(std::string source, const char* file) {
  Result<ChatTemplate> parsed = ChatTemplate::parse(std::move(source));
  if (!parsed.ok()) return Error{parsed.error().message, file};
  return parsed;
}

}  // namespace

Result<ChatTemplate> ChatTemplate::parse(std::string source) {
  try {
    return ChatTemplate(std::make_shared<const jinja::ast::Template>(jinja::parse_template(source)));
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

Result<ChatTemplate> load_chat_template(const std::filesystem::path& model_dir) {
  std::error_code ignored;
  if (std::filesystem::exists(model_dir / kTemplateFile, ignored)) {
    Result<std::string> source = read_file(model_dir / kTemplateFile, kTemplateFile);
    if (!source.ok()) return source.error();
    return parse_named(std::move(source).value(), kTemplateFile);
  }
  const Result<std::string> config = read_file(model_dir / kConfigFile, kConfigFile);
  if (!config.ok()) return config.error();
  boost::system::error_code bad_json;
  const json::value parsed = json::parse(config.value(), bad_json);
  if (bad_json) return Error{"the file is not valid JSON", kConfigFile};
  Result<std::string> source = configured_template(parsed);
  if (!source.ok()) return source.error();
  return parse_named(std::move(source).value(), kConfigFile);
}

}  // namespace caudal
