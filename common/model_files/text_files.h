// How a model reads and writes text: the tokenizer and the chat template of a model directory. Each file is read once.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "common/result.h"
#include "common/tokenizer/tokenizer.h"

namespace caudal {

struct ChatTemplateSource {
  std::string text;
  std::string file;  // where it stands
};

struct TextFiles {
  std::unique_ptr<Tokenizer> tokenizer;
  // chat_template.jinja, else "chat_template" of tokenizer_config.json: a text, or a list of {name, template} with one
  // named "default". An Error says why there is none.
  Result<ChatTemplateSource> chat_template;
};

// Of a directory in the layout of Hugging Face: reads tokenizer.json and, when there is one, tokenizer_config.json
// (added_tokens_decoder, add_bos_token, add_eos_token, the tokens with a role). Errors name the file and the field.
Result<TextFiles> read_text_files(const std::filesystem::path& model_dir);

}  // namespace caudal
