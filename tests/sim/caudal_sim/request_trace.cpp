#include "tests/sim/caudal_sim/request_trace.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <random>

namespace caudal::sim {

namespace {

struct Quantile {
  double share;
  double tokens;
};
using Quantiles = std::vector<Quantile>;

struct Workload {
  const char* name;
  Quantiles prompt, output;
  double gap_variation;  // coefficient of variation of the time between two requests
};

// Medians, p90 and p99 as published; the ends are chosen so that the means are about right.
const std::vector<Workload>& workloads() {
  static const std::vector<Workload> all = {
      {"azure-conversation",
       {{0, 40}, {0.5, 1020}, {0.9, 2735}, {0.99, 4142}, {1, 6000}},
       {{0, 40}, {0.5, 129}, {0.9, 424}, {0.99, 601}, {1, 1000}},
       1.09},
      {"azure-code",
       {{0, 200}, {0.5, 1469}, {0.9, 5188}, {0.99, 7436}, {1, 7500}},
       {{0, 5}, {0.5, 13}, {0.9, 55}, {0.99, 251}, {1, 500}},
       13.0},
  };
  return all;
}

// Between two quantiles the logarithm of the length is uniform.
std::int32_t draw_length(const Quantiles& quantiles, double share) {
  std::size_t i = 1;
  while (i + 1 < quantiles.size() && share > quantiles[i].share) ++i;
  const Quantile low = quantiles[i - 1];
  const Quantile high = quantiles[i];
  const double within = (share - low.share) / (high.share - low.share);
  return static_cast<std::int32_t>(std::lround(low.tokens * std::pow(high.tokens / low.tokens, within)));
}

}  // namespace

Result<std::vector<TracedRequest>> draw_trace(const TraceOptions& options) {
  Workload chosen{};
  const auto known =
      std::ranges::find(workloads(), options.workload, [](const Workload& w) { return std::string(w.name); });
  double prompt = 0.0;
  double output = 0.0;
  if (known != workloads().end()) {
    chosen = *known;
  } else if (std::sscanf(options.workload.c_str(), "%lfx%lf", &prompt, &output) == 2 && prompt >= 1 && output >= 1) {
    chosen = {"fixed", {{0, prompt}, {1, prompt}}, {{0, output}, {1, output}}, 1.0};
  } else {
    return Error{"a workload is azure-conversation, azure-code or PROMPTxOUTPUT", "workload"};
  }
  if (options.rate <= 0.0) return Error{"the rate must be positive", "rate"};
  std::mt19937_64 random(options.seed);
  std::uniform_real_distribution<double> share(0.0, 1.0);
  const double shape = 1.0 / (chosen.gap_variation * chosen.gap_variation);
  std::gamma_distribution<double> gap(shape, 1.0 / (options.rate * shape));
  std::vector<TracedRequest> requests;
  for (double now = gap(random); now < options.seconds; now += gap(random)) {
    TracedRequest& request = requests.emplace_back();
    request.arrival_s = now;
    request.num_prompt_tokens = draw_length(chosen.prompt, share(random));
    request.num_output_tokens = draw_length(chosen.output, share(random));
    if (options.num_groups > 0)
      request.group = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(options.num_groups));
  }
  return requests;
}

Result<std::vector<TracedRequest>> read_trace(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Error{"the trace cannot be read", "trace"};
  std::vector<TracedRequest> requests;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    TracedRequest request;
    const int num_read = std::sscanf(line.c_str(), "%lf,%d,%d,%d", &request.arrival_s, &request.num_prompt_tokens,
                                     &request.num_output_tokens, &request.group);
    if (num_read < 3 || request.num_prompt_tokens < 1 || request.num_output_tokens < 1) {
      return Error{"a line of the trace is not ARRIVAL_S,PROMPT,OUTPUT[,GROUP]: " + line, "trace"};
    }
    requests.push_back(request);
  }
  std::ranges::stable_sort(requests, {}, &TracedRequest::arrival_s);
  return requests;
}

}  // namespace caudal::sim
