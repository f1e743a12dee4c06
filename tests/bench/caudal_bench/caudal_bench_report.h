// The report of a run: the lines that `vllm bench serve` prints and the keys of its JSON, so that the scripts
// people have read ours too. Pure: records in, text out.
#pragma once

#include <array>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "tests/bench/caudal_bench/caudal_bench_record.h"

namespace caudal::bench {

enum class Metric : std::uint8_t { kTtft, kTpot, kItl, kE2el };
inline constexpr std::size_t kNumMetrics = 4;
Result<Metric> parse_metric(std::string_view key);  // "ttft", "tpot", "itl", "e2el"

// A request counts for the goodput when it meets every limit.
struct Limit {
  Metric metric;
  double max_ms;
};
Result<Limit> parse_limit(std::string_view text);  // "ttft:200"; not for itl, which a request has many of

struct ReportOptions {
  std::vector<Metric> metrics{Metric::kTtft, Metric::kTpot, Metric::kItl, Metric::kE2el};
  std::vector<double> percentiles{99.0};
  std::vector<Limit> goodput;
  std::int32_t max_concurrency = 0;  // 0 = no limit
  double request_rate = std::numeric_limits<double>::infinity();
  double burstiness = 1.0;
  std::string backend;
  std::string model;
};

struct Summary {
  double mean_ms = 0.0;
  double median_ms = 0.0;
  double std_ms = 0.0;                 // of the population
  std::vector<double> percentiles_ms;  // as ReportOptions::percentiles
};

struct Report {
  std::int64_t completed = 0;
  std::int64_t failed = 0;
  double duration_s = 0.0;
  std::int64_t num_prompt_tokens = 0;  // of completed requests, as num_output_tokens
  std::int64_t num_output_tokens = 0;
  std::int64_t num_good = 0;                  // completed within every limit of ReportOptions::goodput
  double peak_output_tokens_per_s = 0.0;      // in the best second, counted from the first request
  std::int64_t peak_concurrent_requests = 0;  // completed requests under way at one instant
  std::array<Summary, kNumMetrics> summaries;

  double per_s(std::int64_t count) const { return duration_s > 0.0 ? static_cast<double>(count) / duration_s : 0.0; }
};

// Linear between the two nearest ranks, as numpy does it; 0 without values. `percent` from 0 to 100.
double percentile(std::span<const double> sorted, double percent);

// Unfinished records (after Ctrl-C) count neither as completed nor as failed.
Report make_report(std::span<const Record> records, double duration_s, const ReportOptions& options);
std::string report_text(const Report& report, const ReportOptions& options);
std::string report_json(const Report& report, std::span<const Record> records, const ReportOptions& options);

}  // namespace caudal::bench
