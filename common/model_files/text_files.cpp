#include "common/model_files/text_files.h"

#include <optional>

#include "common/model_files/json_file.h"
#include "common/tokenizer/hf_json.h"

namespace caudal {
namespace {

constexpr char kTokenizerConfigFile[] = "tokenizer_config.json";
constexpr char kTemplateFile[] = "chat_template.jinja";

std::optional<JsonFile> read_config(const std::filesystem::path& model_dir) {
  std::error_code error;
  if (!std::filesystem::exists(model_dir / kTokenizerConfigFile, error)) return std::nullopt;
  return read_json_file(model_dir, kTokenizerConfigFile);
}

constexpr char kToolTemplateFile[] = "additional_chat_templates/tool_use.jinja";

// "chat_template" of the config: a text is the default.
std::optional<ChatTemplateSource> configured_template(const std::optional<JsonFile>& config, std::string_view wanted) {
  const std::optional<JsonNode> entry = config ? config->root().find("chat_template") : std::nullopt;
  if (!entry) return std::nullopt;
  const auto source = [](std::string_view text) { return ChatTemplateSource{std::string(text), kTokenizerConfigFile}; };
  if (entry->is_string() && wanted == kDefaultTemplate) return source(entry->string());
  for (std::size_t i = 0; entry->is_array() && i < entry->size(); ++i) {
    const JsonNode named = entry->at(i);
    if (named.text("name", "") == wanted) return source(named.at("template").string());
  }
  return std::nullopt;
}

std::optional<ChatTemplateSource> find_template(const std::filesystem::path& model_dir,
                                                const std::optional<JsonFile>& config, std::string_view name) {
  const char* const file = name == kDefaultTemplate ? kTemplateFile : kToolTemplateFile;
  std::error_code ignored;
  if (!std::filesystem::exists(model_dir / file, ignored)) return configured_template(config, name);
  return ChatTemplateSource{read_text_file(model_dir, file), file};
}

Result<ChatTemplateSource> default_template(const std::filesystem::path& model_dir,
                                            const std::optional<JsonFile>& config) {
  try {
    if (auto found = find_template(model_dir, config, kDefaultTemplate)) return std::move(*found);
    if (!config) throw JsonError{"is missing", "", kTokenizerConfigFile};
    const std::optional<JsonNode> entry = config->root().find("chat_template");
    if (!entry) config->root().fail("has no chat template");
    entry->fail("is neither a text nor a list with a template named 'default'");
  } catch (const JsonError& error) {
    return error.in_file();
  }
}

}  // namespace

Result<TextFiles> read_text_files(const std::filesystem::path& model_dir) {
  try {
    const JsonFile tokenizer = read_json_file(model_dir, kTokenizerFile);
    const std::optional<JsonFile> config = read_config(model_dir);
    const std::optional<JsonNode> config_root = config ? std::optional(config->root()) : std::nullopt;
    return TextFiles{read_hf_tokenizer(tokenizer.root(), config_root), default_template(model_dir, config),
                     find_template(model_dir, config, kToolTemplate)};
  } catch (const JsonError& error) {
    return error.in_file();
  }
}

}  // namespace caudal
