// A JSON value -> the checked value of a parameter, by the type and the bounds of its row.
#pragma once

#include "common/json/json_node.h"
#include "coordinator/gateway/api/parameters.h"

namespace caudal {

// Token ids are below `vocab_size`. Throws JsonError, which names the field and never repeats what the client sent.
Parameter::Value check_value(const Parameter& parameter, const JsonNode& node, std::int32_t vocab_size);

}  // namespace caudal
