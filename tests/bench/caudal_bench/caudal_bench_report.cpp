#include "tests/bench/caudal_bench/caudal_bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <cmath>
#include <numeric>

namespace caudal::bench {
namespace {

namespace json = boost::json;

struct MetricName {
  std::string_view key, label, title;
};
constexpr std::array<MetricName, kNumMetrics> kMetrics{{
    {"ttft", "TTFT", "Time to First Token"},
    {"tpot", "TPOT", "Time per Output Token (excl. 1st token)"},
    {"itl", "ITL", "Inter-token Latency"},
    {"e2el", "E2EL", "End-to-end Latency"},
}};

const MetricName& name_of(Metric metric) { return kMetrics[static_cast<std::size_t>(metric)]; }

// What one request adds to a metric.
std::vector<double> values_of(const Record& record, Metric metric) {
  switch (metric) {
    case Metric::kTtft:
      return {record.ttft_s()};
    case Metric::kTpot:
      return record.output_tokens() > 1 ? std::vector{record.tpot_s()} : std::vector<double>{};
    case Metric::kItl:
      return record.itls_s();
    case Metric::kE2el:
      return {record.latency_s()};
  }
  return {};
}

Summary summarize(std::vector<double> values_ms, const std::vector<double>& percentiles) {
  Summary summary;
  summary.percentiles_ms.resize(percentiles.size());
  if (values_ms.empty()) return summary;
  std::ranges::sort(values_ms);
  const double count = static_cast<double>(values_ms.size());
  summary.mean_ms = std::accumulate(values_ms.begin(), values_ms.end(), 0.0) / count;
  summary.median_ms = percentile(values_ms, 50.0);
  double squares = 0.0;
  for (const double value : values_ms) squares += (value - summary.mean_ms) * (value - summary.mean_ms);
  summary.std_ms = std::sqrt(squares / count);
  std::ranges::transform(percentiles, summary.percentiles_ms.begin(),
                         [&](double percent) { return percentile(values_ms, percent); });
  return summary;
}

bool is_good(const Record& record, const std::vector<Limit>& limits) {
  return std::ranges::all_of(limits, [&](const Limit& limit) {
    const std::vector<double> values = values_of(record, limit.metric);
    return values.empty() || values.front() * 1e3 <= limit.max_ms;
  });
}

// A piece of text that holds several tokens counts as its share of them.
double peak_tokens_per_s(std::span<const Record> records) {
  double first = std::numeric_limits<double>::infinity();
  for (const Record& record : records) {
    if (record.ok()) first = std::min(first, record.start_s);
  }
  std::vector<double> seconds(1, 0.0);
  for (const Record& record : records) {
    if (!record.ok()) continue;
    const double share = static_cast<double>(record.output_tokens()) / static_cast<double>(record.text_s.size());
    for (const double time : record.text_s) {
      const auto second = static_cast<std::size_t>(time - first);
      if (second >= seconds.size()) seconds.resize(second + 1);
      seconds[second] += share;
    }
  }
  return *std::ranges::max_element(seconds);
}

std::int64_t peak_concurrency(std::span<const Record> records) {
  std::vector<std::pair<double, int>> changes;  // ends sort before starts of the same instant
  for (const Record& record : records) {
    if (!record.ok()) continue;
    changes.emplace_back(record.start_s, 1);
    changes.emplace_back(record.end_s, -1);
  }
  std::ranges::sort(changes);
  std::int64_t running = 0, peak = 0;
  for (const auto& [time, change] : changes) peak = std::max(peak, running += change);
  return peak;
}

// Every value in its own line: label, then a number with two decimals or an integer.
void line(std::string& out, std::string_view label, double value) {
  out += fmt::format("{:<40} {:<10.2f}\n", label, value);
}
void line(std::string& out, std::string_view label, std::int64_t value) {
  out += fmt::format("{:<40} {:<10}\n", label, value);
}

json::value rate_json(double rate) { return std::isinf(rate) ? json::value("inf") : json::value(rate); }

template <typename Value>
json::array array_of(std::span<const Record> records, Value value) {
  json::array array;
  for (const Record& record : records) {
    if (record.finished) array.emplace_back(value(record));
  }
  return array;
}

// Times are in seconds, one entry per finished request in the order of the workload.
void add_details(std::span<const Record> records, json::object& out) {
  out["input_lens"] = array_of(records, [](const Record& record) { return record.num_prompt_tokens; });
  out["output_lens"] = array_of(records, [](const Record& record) { return record.output_tokens(); });
  out["ttfts"] = array_of(records, [](const Record& record) { return record.ok() ? record.ttft_s() : 0.0; });
  out["itls"] = array_of(records, [](const Record& record) {
    const std::vector<double> gaps = record.itls_s();
    return json::array(gaps.begin(), gaps.end());
  });
  out["latencies"] = array_of(records, [](const Record& record) { return record.ok() ? record.latency_s() : 0.0; });
  out["start_times"] = array_of(records, [](const Record& record) { return record.start_s; });
  out["queue_times"] = array_of(records, [](const Record& record) { return record.start_s - record.due_s; });
  out["generated_texts"] = array_of(records, [](const Record& record) { return json::string(record.text); });
  out["errors"] = array_of(records, [](const Record& record) { return json::string(record.error); });
}

}  // namespace

Result<Metric> parse_metric(std::string_view key) {
  const auto found = std::ranges::find(kMetrics, key, &MetricName::key);
  if (found == kMetrics.end()) return Error{fmt::format("'{}' is none of ttft, tpot, itl, e2el", key), ""};
  return static_cast<Metric>(found - kMetrics.begin());
}

Result<Limit> parse_limit(std::string_view text) {
  const std::size_t colon = text.find(':');
  const Result<Metric> metric = parse_metric(text.substr(0, colon));
  if (!metric) return metric.error();
  Limit limit{metric.value(), 0.0};
  const std::string_view number = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  const auto [end, failed] = std::from_chars(number.data(), number.data() + number.size(), limit.max_ms);
  if (failed != std::errc{} || end != number.data() + number.size() || limit.metric == Metric::kItl) {
    return Error{fmt::format("'{}' must be ttft, tpot or e2el, a colon and milliseconds", text), "goodput"};
  }
  return limit;
}

double percentile(std::span<const double> sorted, double percent) {
  if (sorted.empty()) return 0.0;
  const double rank = percent / 100.0 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (rank - static_cast<double>(below));
}

Report make_report(std::span<const Record> records, double duration_s, const ReportOptions& options) {
  Report report;
  report.duration_s = duration_s;
  std::array<std::vector<double>, kNumMetrics> values_ms;
  for (const Record& record : records) {
    if (record.finished && !record.ok()) ++report.failed;
    if (!record.ok()) continue;
    ++report.completed;
    report.num_prompt_tokens += record.num_prompt_tokens;
    report.num_output_tokens += record.output_tokens();
    if (is_good(record, options.goodput)) ++report.num_good;
    for (std::size_t metric = 0; metric < kNumMetrics; ++metric) {
      for (const double value : values_of(record, Metric(metric))) values_ms[metric].push_back(value * 1e3);
    }
  }
  for (std::size_t metric = 0; metric < kNumMetrics; ++metric) {
    report.summaries[metric] = summarize(std::move(values_ms[metric]), options.percentiles);
  }
  report.peak_output_tokens_per_s = peak_tokens_per_s(records);
  report.peak_concurrent_requests = peak_concurrency(records);
  return report;
}

std::string report_text(const Report& report, const ReportOptions& options) {
  std::string out = fmt::format("{:=^50}\n", " Serving Benchmark Result ");
  line(out, "Successful requests:", report.completed);
  line(out, "Failed requests:", report.failed);
  if (options.max_concurrency > 0) line(out, "Maximum request concurrency:", std::int64_t{options.max_concurrency});
  if (!std::isinf(options.request_rate)) line(out, "Request rate configured (RPS):", options.request_rate);
  line(out, "Benchmark duration (s):", report.duration_s);
  line(out, "Total input tokens:", report.num_prompt_tokens);
  line(out, "Total generated tokens:", report.num_output_tokens);
  line(out, "Request throughput (req/s):", report.per_s(report.completed));
  if (!options.goodput.empty()) line(out, "Request goodput (req/s):", report.per_s(report.num_good));
  line(out, "Output token throughput (tok/s):", report.per_s(report.num_output_tokens));
  line(out, "Peak output token throughput (tok/s):", report.peak_output_tokens_per_s);
  line(out, "Peak concurrent requests:", static_cast<double>(report.peak_concurrent_requests));
  line(out, "Total token throughput (tok/s):", report.per_s(report.num_prompt_tokens + report.num_output_tokens));
  for (const Metric metric : options.metrics) {
    const auto& [key, label, title] = name_of(metric);
    const Summary& summary = report.summaries[static_cast<std::size_t>(metric)];
    out += fmt::format("{:-^50}\n", title);
    line(out, fmt::format("Mean {} (ms):", label), summary.mean_ms);
    line(out, fmt::format("Median {} (ms):", label), summary.median_ms);
    for (std::size_t i = 0; i < options.percentiles.size(); ++i) {
      line(out, fmt::format("P{} {} (ms):", options.percentiles[i], label), summary.percentiles_ms[i]);
    }
  }
  return out + fmt::format("{:=^50}\n", "");
}

std::string report_json(const Report& report, std::span<const Record> records, const ReportOptions& options) {
  json::object out;
  out["backend"] = options.backend;
  out["model_id"] = options.model;
  out["num_prompts"] = records.size();
  out["request_rate"] = rate_json(options.request_rate);
  out["burstiness"] = options.burstiness;
  out["max_concurrency"] = options.max_concurrency > 0 ? json::value(options.max_concurrency) : json::value();
  out["duration"] = report.duration_s;
  out["completed"] = report.completed;
  out["failed"] = report.failed;
  out["total_input_tokens"] = report.num_prompt_tokens;
  out["total_output_tokens"] = report.num_output_tokens;
  out["request_throughput"] = report.per_s(report.completed);
  out["request_goodput"] = options.goodput.empty() ? json::value() : json::value(report.per_s(report.num_good));
  out["output_throughput"] = report.per_s(report.num_output_tokens);
  out["total_token_throughput"] = report.per_s(report.num_prompt_tokens + report.num_output_tokens);
  out["max_output_tokens_per_s"] = report.peak_output_tokens_per_s;
  out["max_concurrent_requests"] = report.peak_concurrent_requests;
  add_details(records, out);
  for (const Metric metric : options.metrics) {
    const std::string_view key = name_of(metric).key;
    const Summary& summary = report.summaries[static_cast<std::size_t>(metric)];
    out[fmt::format("mean_{}_ms", key)] = summary.mean_ms;
    out[fmt::format("median_{}_ms", key)] = summary.median_ms;
    out[fmt::format("std_{}_ms", key)] = summary.std_ms;
    for (std::size_t i = 0; i < options.percentiles.size(); ++i) {
      out[fmt::format("p{}_{}_ms", options.percentiles[i], key)] = summary.percentiles_ms[i];
    }
  }
  return json::serialize(out) + "\n";
}

}  // namespace caudal::bench
