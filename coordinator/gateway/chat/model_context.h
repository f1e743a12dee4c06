// What the gateways know of the served model. Built once at start, then immutable and shared by all threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/tokenizer/tokenizer.h"
#include "coordinator/gateway/api/api_request.h"

namespace caudal {

struct ModelContext {
  std::string served_name;  // what clients call it
  std::string digest;       // model_digest() of its config.json
  std::shared_ptr<const Tokenizer> tokenizer;
  // The checkpoint's chat template; empty when it has none (chat is then refused). Errors are the client's.
  std::function<Result<std::string>(const ChatInput&)> render_chat;
  SamplingParams default_sampling;      // from generation_config.json
  std::vector<TokenId> eos_token_ids;   // end a sequence unless ignore_eos
  std::int32_t vocab_size = 0;          // of the model: ids of prompts are below it
  std::int32_t max_context_tokens = 0;  // prompt and output together
  std::int64_t created = 0;             // Unix seconds, for /v1/models
};

// Fills default_sampling and eos_token_ids from generation_config.json, and what config.json alone says: vocab_size,
// max_context_tokens and, failing the first file, eos_token_id. Both files are in `model_dir`; the first is optional.
// Errors name the file and the field.
Result<void> load_model_defaults(const std::filesystem::path& model_dir, ModelContext& model);

}  // namespace caudal
