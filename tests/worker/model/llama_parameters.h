// The parameters of a Llama with a given config, for tests of cuts and checkpoints.
#pragma once

#include "worker/model/families/registry.h"
#include "worker/model/plan/model_plan.h"

namespace caudal {

inline std::vector<Parameter> llama_parameters(const ModelConfig& config, int rank, int size) {
  return list_parameters({&known_families().front(), config}, make_partition(config, rank, size).value());
}

// The parameter whose first part has this name; empty when there is none.
inline Parameter find_parameter(const std::vector<Parameter>& all, const std::string& name) {
  for (const Parameter& parameter : all)
    if (!parameter.parts.empty() && parameter.parts.front().name == name) return parameter;
  return {};
}

}  // namespace caudal
