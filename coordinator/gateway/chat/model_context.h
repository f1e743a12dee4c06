// What the gateways know of the served model. Built once at start, then immutable and shared by all threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "common/model_files/model_card.h"
#include "common/result.h"
#include "common/tokenizer/tokenizer.h"
#include "common/types.h"
#include "coordinator/gateway/chat/chat_template.h"

namespace caudal {

struct ModelContext {
  std::string served_name;  // what clients call it
  ModelId id = 0;           // in the ModelRegistry: what the rest of the coordinator calls it
  ModelCard card;           // with the tokenizer's end token where the model's files name none
  std::shared_ptr<const Tokenizer> tokenizer;
  std::optional<ChatTemplate> chat_template;  // the checkpoint's own
  std::optional<ChatTemplate> tool_template;  // and its own for chats with tools, where it has two
  OutputFormat output_format{};               // how it writes calls and reasoning
  std::int64_t created = 0;                   // Unix seconds, for /v1/models

  // Null: such chats are refused.
  const ChatTemplate* template_for(bool has_tools) const {
    const std::optional<ChatTemplate>& found = has_tools && tool_template ? tool_template : chat_template;
    return found ? &*found : nullptr;
  }
};

// Formats by name (tools/known_formats), instead of what the templates say; "": as they say; "none": as if they did
// not.
struct FormatNames {
  std::string tool_calls;
  std::string reasoning;
};

// From the files of a model (`path` is one that open_model_files() takes). A model without a usable chat template
// serves completions only. Errors name the file and the field.
Result<ModelContext> load_model_context(const std::filesystem::path& path, std::string served_name,
                                        const FormatNames& formats = {});

}  // namespace caudal
