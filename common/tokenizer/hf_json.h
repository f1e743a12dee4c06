// A tokenizer from the JSON that Hugging Face publishes.
#pragma once

#include <memory>
#include <optional>

#include "common/json/json_node.h"
#include "common/tokenizer/tokenizer.h"

namespace caudal {

// `root` of a tokenizer.json and, when there is one, `config` of a tokenizer_config.json (added_tokens_decoder,
// add_bos_token, add_eos_token, the tokens with a role). Throws JsonError.
std::unique_ptr<Tokenizer> read_hf_tokenizer(const JsonNode& root, const std::optional<JsonNode>& config);

}  // namespace caudal
