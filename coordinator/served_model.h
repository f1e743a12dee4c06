// Reads what the gateways need of a model directory: tokenizer, chat template, defaults. No weights.
#pragma once

#include <string>

#include "common/result.h"
#include "coordinator/gateway/model_context.h"

namespace caudal {

// Errors name the file and the field. A model without a chat template is served for completions only.
Result<ModelContext> load_served_model(const std::string& model_dir, const std::string& served_name);

}  // namespace caudal
