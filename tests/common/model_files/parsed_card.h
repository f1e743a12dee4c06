#pragma once

#include <string_view>

#include "common/model_files/model_card.h"

namespace caudal {

inline Result<ModelCard> parse_model_card(std::string_view config, std::string_view generation_config = "") {
  Result<ModelDocuments> documents = parse_model_documents(config, generation_config);
  if (!documents) return documents.error();
  return read_model_card(std::move(documents).value());
}

}  // namespace caudal
