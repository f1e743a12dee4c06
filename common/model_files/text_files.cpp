#include "common/model_files/text_files.h"

#include <optional>

#include "common/model_files/json_file.h"
#include "common/tokenizer/hf_json.h"

namespace caudal {
namespace {

constexpr char kTokenizerFile[] = "tokenizer.json";
constexpr char kTokenizerConfigFile[] = "tokenizer_config.json";
constexpr char kTemplateFile[] = "chat_template.jinja";

std::optional<JsonFile> read_config(const std::filesystem::path& model_dir) {
  std::error_code error;
  if (!std::filesystem::exists(model_dir / kTokenizerConfigFile, error)) return std::nullopt;
  return read_json_file(model_dir, kTokenizerConfigFile);
}

std::string configured_template(const JsonNode& config) {
  const std::optional<JsonNode> entry = config.find("chat_template");
  if (!entry) config.fail("has no chat template");
  if (entry->is_string()) return std::string(entry->string());
  for (std::size_t i = 0; entry->is_array() && i < entry->size(); ++i) {
    const JsonNode named = entry->at(i);
    if (named.text("name", "") == "default") return std::string(named.at("template").string());
  }
  entry->fail("is neither a text nor a list with a template named 'default'");
}

Result<ChatTemplateSource> find_chat_template(const std::filesystem::path& model_dir,
                                              const std::optional<JsonFile>& config) {
  try {
    std::error_code ignored;
    if (std::filesystem::exists(model_dir / kTemplateFile, ignored)) {
      return ChatTemplateSource{read_text_file(model_dir, kTemplateFile), kTemplateFile};
    }
    if (!config) throw JsonError{"is missing", "", kTokenizerConfigFile};
    return ChatTemplateSource{configured_template(config->root()), kTokenizerConfigFile};
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
    return TextFiles{read_hf_tokenizer(tokenizer.root(), config_root), find_chat_template(model_dir, config)};
  } catch (const JsonError& error) {
    return error.in_file();
  }
}

}  // namespace caudal
