// Requests for the cluster simulator: from a trace file, or drawn from the published length and arrival statistics
// of production traces (Azure LLM inference 2023: conversation and code). Same seed, same requests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"

namespace caudal::sim {

struct TracedRequest {
  double arrival_s = 0.0;
  std::int32_t num_prompt_tokens = 0;
  std::int32_t num_output_tokens = 0;
  std::int32_t group = -1;  // requests of one group begin alike
};

struct TraceOptions {
  std::string workload = "azure-conversation";  // or azure-code, or a fixed length as PROMPTxOUTPUT
  double rate = 1.0;                            // requests per second
  double seconds = 1.0;
  std::int32_t num_groups = 0;  // 0: nothing is shared
  std::uint64_t seed = 1;
};

Result<std::vector<TracedRequest>> draw_trace(const TraceOptions& options);

// CSV: arrival in seconds, prompt tokens, output tokens, and optionally a group. Lines that start with # are skipped.
Result<std::vector<TracedRequest>> read_trace(const std::string& path);

}  // namespace caudal::sim
