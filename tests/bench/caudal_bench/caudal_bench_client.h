// The clients of caudal-bench. Both are one thread that never waits for a single request: Run says which request
// may start when, the clients move bytes and fill the records.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "tests/bench/caudal_bench/caudal_bench_fit.h"
#include "tests/bench/caudal_bench/caudal_bench_record.h"
#include "tests/bench/workload.h"

namespace caudal::bench {

struct Load {
  std::vector<RequestShape> requests;  // by arrival
  std::uint64_t seed = 0;              // of the prompts
  std::int32_t vocab_size = 0;
  std::string model;
  double temperature = 0.0;
  bool ignore_eos = true;
  std::int32_t max_concurrency = 0;      // requests under way; 0 = no limit
  std::chrono::milliseconds timeout{0};  // of one request
  bool show_progress = false;
  const std::atomic<bool>* interrupted = nullptr;
};

struct Outcome {
  std::vector<Record> records;  // one per request, in the order of the workload
  double duration_s = 0.0;
};

// One run in progress. Single-threaded.
class Run {
 public:
  explicit Run(const Load& load);

  double now_s() const;  // after the start
  // The next request that is due and below the limit of concurrency, if there is one.
  std::optional<std::size_t> take();
  // Seconds until take() can succeed, at most `limit_s`.
  double idle_s(double limit_s) const;
  void finish(std::size_t index, std::string error);
  bool over() const;  // all done, or interrupted
  void show_progress() const;

  Record& record(std::size_t index) { return records_[index]; }
  std::vector<std::int32_t> prompt(std::size_t index) const;
  const Load& load() const { return load_; }
  Outcome outcome() &&;

 private:
  const Load& load_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::vector<Record> records_;
  std::size_t num_taken_ = 0;
  std::size_t num_finished_ = 0;
};

constexpr std::chrono::milliseconds kTick{100};  // progress, Ctrl-C, deadlines

struct HttpTarget {
  std::string host;
  std::string port;
  std::string base_path;  // before /v1
};
Result<HttpTarget> parse_base_url(std::string_view url);  // http://host[:port][/path]
Result<ServedModel> ask_model_http(const HttpTarget& target, const std::string& wanted);
Result<Outcome> run_http(const HttpTarget& target, const Load& load);

Result<ServedModel> ask_model_zmq(const std::string& endpoint, const std::string& wanted);
Result<Outcome> run_zmq(const std::string& endpoint, const Load& load);

}  // namespace caudal::bench
