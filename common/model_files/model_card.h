// What config.json and generation_config.json say of a model. Coordinator and worker read both here, so that they
// agree. Read once at start, then constant; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/model_files/json_file.h"
#include "common/model_files/model_digest.h"
#include "common/model_files/rope_config.h"
#include "common/result.h"
#include "common/types.h"

namespace caudal {

inline constexpr char kConfigFile[] = "config.json";
inline constexpr char kGenerationFile[] = "generation_config.json";

// The two files; or what they would say, where a model's files say it otherwise.
struct ModelDocuments {
  JsonFile config;
  std::optional<JsonFile> generation_config;
  std::string digest;  // of all the model's files: see model_digest.h
};

struct ModelCard {
  std::string digest;  // equal for the replicas of one cluster
  std::int64_t vocab_size = 0;
  RopeConfig rope;                     // and so the length of the context
  std::vector<TokenId> eos_token_ids;  // of generation_config.json, else of config.json; may be empty
  SamplingParams default_sampling;     // of generation_config.json

  // The root of config.json, for those who build the model.
  JsonNode config() const { return config_file->root(); }
  std::shared_ptr<const JsonFile> config_file;  // shared by copies of the card
};

// Errors name the file and the field: a message "FILE: FIELD what is wrong".
Result<ModelCard> read_model_card(ModelDocuments documents);

// From the texts of the files; `generation_config` is empty when there is none. The digest is of config.json alone.
Result<ModelDocuments> parse_model_documents(std::string_view config, std::string_view generation_config = "");

}  // namespace caudal
