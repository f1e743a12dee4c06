// ModelFiles: the files of a model, whatever their kind, as far as they say how it is built and how it reads and writes
// text. Coordinator and worker open them here. Weights are the workers' alone (worker/model/weights).
#pragma once

#include <filesystem>
#include <memory>

#include "common/model_files/model_card.h"
#include "common/model_files/text_files.h"
#include "common/result.h"

namespace caudal {

class ModelFiles {
 public:
  virtual ~ModelFiles() = default;

  // Errors name the file and the field.
  virtual Result<ModelDocuments> documents() const = 0;
  virtual Result<TextFiles> text() const = 0;
};

// `path`: a directory in the layout of Hugging Face; or a GGUF file, one of a set of them, or a directory that has
// nothing else (common/gguf).
Result<std::unique_ptr<ModelFiles>> open_model_files(const std::filesystem::path& path);

// The tokens that end a model's output: what its files name, else the tokenizer's.
std::vector<TokenId> end_tokens(const ModelCard& card, const Tokenizer& tokenizer);

// Of them the tokenizer alone.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const std::filesystem::path& path);

// What clients call a model that was given no name: the directory's or the file's, without ".gguf" and what counts the
// files of a set.
std::string name_of_model(const std::filesystem::path& path);

}  // namespace caudal
