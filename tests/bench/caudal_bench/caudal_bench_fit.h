// Whether the requests of a workload fit into the context of the server. Lengths that nobody asked for are cut to
// fit; lengths that somebody asked for are measured as asked, or not at all.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"
#include "tests/bench/workload.h"

namespace caudal::bench {

// What the server says of the model it serves.
struct ServedModel {
  std::string name;
  std::int32_t max_context_tokens = 0;  // prompt and output together; 0 = it does not say
};
// From the answer to GET /v1/models: `wanted`, or the first model when that is empty.
Result<ServedModel> find_model(std::string_view models_json, const std::string& wanted);

// Which lengths the user gave; the others are this program's defaults.
struct AskedLengths {
  bool prompt = false;
  bool output = false;  // the mean, or the cap where the distribution has one
};

// Makes the longest request that `options` can draw fit into `max_context_tokens`, by its defaults alone: the output
// keeps at most half of the context, the prompt what is left. Says what it changed; empty: nothing.
Result<std::string> fit_to_context(const AskedLengths& asked, std::int32_t max_context_tokens,
                                   WorkloadOptions& options);

}  // namespace caudal::bench
