#include "common/model_files/model_files.h"

#include "common/gguf/gguf_file.h"
#include "common/model_files/gguf_config.h"
#include "common/model_files/gguf_text.h"
#include "common/model_files/json_file.h"

namespace caudal {
namespace {

class DirectoryFiles final : public ModelFiles {
 public:
  explicit DirectoryFiles(std::filesystem::path dir) : dir_(std::move(dir)) {}

  Result<ModelDocuments> documents() const override {
    try {
      const std::string config = read_text_file(dir_, kConfigFile);
      std::error_code error;
      const bool has_generation = std::filesystem::exists(dir_ / kGenerationFile, error);
      const std::string generation = has_generation ? read_text_file(dir_, kGenerationFile) : "";
      if (has_generation && generation.empty()) throw JsonError{"is empty", "", kGenerationFile};
      Result<ModelDocuments> documents = parse_model_documents(config, generation);
      if (!documents) return documents;
      const bool has_tokenizer = std::filesystem::exists(dir_ / kTokenizerFile, error);
      const std::string tokenizer = has_tokenizer ? read_text_file(dir_, kTokenizerFile) : "";
      documents.value().digest = model_digest(config + '\0' + tokenizer, weight_files(dir_));
      return documents;
    } catch (const JsonError& error) {
      return error.in_file();
    }
  }

  Result<TextFiles> text() const override { return read_text_files(dir_); }

 private:
  std::filesystem::path dir_;
};

class GgufModelFiles final : public ModelFiles {
 public:
  explicit GgufModelFiles(GgufFiles files) : files_(std::move(files)) {}

  Result<ModelDocuments> documents() const override {
    try {
      return gguf_documents(files_);
    } catch (const JsonError& error) {
      return error.in_file();
    }
  }

  Result<TextFiles> text() const override {
    try {
      return gguf_text(files_.front());
    } catch (const JsonError& error) {
      return error.in_file();
    }
  }

 private:
  GgufFiles files_;
};

}  // namespace

Result<std::unique_ptr<ModelFiles>> open_model_files(const std::filesystem::path& path) {
  if (!is_gguf(path)) return std::unique_ptr<ModelFiles>(std::make_unique<DirectoryFiles>(path));
  Result<GgufFiles> files = open_gguf(path);
  if (!files) return files.error();
  return std::unique_ptr<ModelFiles>(std::make_unique<GgufModelFiles>(std::move(files).value()));
}

std::vector<TokenId> end_tokens(const ModelCard& card, const Tokenizer& tokenizer) {
  const std::optional<TokenId> eos = tokenizer.named_tokens().eos;
  return card.eos_token_ids.empty() && eos ? std::vector<TokenId>{*eos} : card.eos_token_ids;
}

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::filesystem::path& path) {
  const Result<std::unique_ptr<ModelFiles>> files = open_model_files(path);
  if (!files) return files.error();
  Result<TextFiles> text = files.value()->text();
  if (!text) return text.error();
  return std::move(text.value().tokenizer);
}

std::string name_of_model(const std::filesystem::path& path) {
  const std::filesystem::path absolute = std::filesystem::absolute(path).lexically_normal();
  const std::string name = absolute.has_filename() ? absolute.filename() : absolute.parent_path().filename();
  std::error_code error;
  return std::filesystem::is_directory(path, error) ? name : gguf_stem(name);
}

}  // namespace caudal
