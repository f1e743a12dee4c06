// Workloads of the benchmarks: how long prompts and answers are, and when requests arrive. Same seed, same
// requests, on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/result.h"

namespace caudal::bench {

struct RequestShape {
  std::int32_t num_prompt_tokens = 0;
  std::int32_t num_output_tokens = 0;
  double arrival_s = 0.0;              // after the start
  std::int32_t num_shared_tokens = 0;  // of the prompt, the same for all requests of the workload
  std::int32_t padded_to = 0;          // tokens that a server which pads its batches generates; 0 = what was asked
};

struct WorkloadOptions {
  // fixed: exactly the means. uniform: within +-range of them. exponential: prompts fixed, outputs exponential,
  // samples over the cap drawn again (the 2023 continuous-batching benchmark). sharegpt: log-normal with the
  // lengths that the PagedAttention paper states for ShareGPT (161 and 338 tokens on average).
  std::string lengths = "fixed";
  std::int32_t mean_prompt_tokens = 512;
  std::int32_t mean_output_tokens = 128;
  std::int32_t max_output_tokens = 1536;
  double range = 0.0;         // of uniform, 0 to 1
  double request_rate = 0.0;  // requests per second; 0 = all at once
  double burstiness = 1.0;    // shape of the gamma distribution of gaps; 1 = Poisson arrivals
  std::int32_t num_requests = 1;
  std::uint64_t seed = 0;
};

Result<std::vector<RequestShape>> make_workload(const WorkloadOptions& options);

// No request of make_workload() has a longer prompt or a longer output.
RequestShape longest_request(const WorkloadOptions& options);

// Token ids of a prompt: pseudo-random below vocab_size, different for every index.
std::vector<std::int32_t> make_prompt(std::uint64_t seed, std::size_t index, std::int32_t num_tokens,
                                      std::int32_t vocab_size);

}  // namespace caudal::bench
