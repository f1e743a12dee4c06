// How a model reads and writes text: the tokenizer and the chat template of a model directory. Each file is read once.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
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
  // An Error says why there is none.
  Result<ChatTemplateSource> chat_template;
  std::optional<ChatTemplateSource> tool_template;  // for chats with tools, where there is one of their own
};

// The names, among several templates of a model, of the two that are served.
inline constexpr char kDefaultTemplate[] = "default";
inline constexpr char kToolTemplate[] = "tool_use";

inline constexpr char kTokenizerFile[] = "tokenizer.json";

// Of a directory in the layout of Hugging Face: reads tokenizer.json and, when there is one, tokenizer_config.json
// (added_tokens_decoder, add_bos_token, add_eos_token, the tokens with a role). Templates are those of
// chat_template.jinja and additional_chat_templates/tool_use.jinja, else "chat_template" of tokenizer_config.json: a
// text, or a list of {name, template}. Errors name the file and the field.
Result<TextFiles> read_text_files(const std::filesystem::path& model_dir);

}  // namespace caudal
