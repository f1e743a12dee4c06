// What config.json and generation_config.json say of a model. Coordinator and worker read both files here, so that they
// agree. Read once at start, then constant; any thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/model_files/rope_config.h"
#include "common/result.h"
#include "common/types.h"

namespace caudal {

struct ModelCard {
  std::string digest;  // SHA-256 of config.json, hexadecimal; equal for the replicas of one cluster
  std::int64_t vocab_size = 0;
  RopeConfig rope;                     // and so the length of the context
  std::vector<TokenId> eos_token_ids;  // of generation_config.json, else of config.json; may be empty
  SamplingParams default_sampling;     // of generation_config.json

  // The root of config.json, for those who build the model.
  JsonNode config() const;
  std::shared_ptr<const boost::json::value> document;  // shared by copies of the card
};

// Errors name the file and the field: a message "FILE: FIELD what is wrong".
Result<ModelCard> load_model_card(const std::filesystem::path& model_dir);
// Likewise from the texts of the files; `generation_config` is empty when there is none.
Result<ModelCard> parse_model_card(std::string_view config, std::string_view generation_config = "");

}  // namespace caudal
