// caudal-bench: puts load on a gateway and prints what `vllm bench serve` prints, with its flags and its JSON.
// Open loop: requests go out when the workload says so, whatever the server does.
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "common/command_line.h"
#include "tests/bench/caudal_bench/caudal_bench_client.h"
#include "tests/bench/caudal_bench/caudal_bench_report.h"

namespace caudal::bench {
namespace {

constexpr int kInterruptedExit = 130;

std::atomic<bool> interrupted = false;  // written by the handler of SIGINT

struct Flags {
  std::string base_url;
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;
  std::string zmq = "tcp://127.0.0.1:8001";
  WorkloadOptions workload;
  AskedLengths asked;
  std::int32_t num_warmups = 0;
  std::vector<std::string> goodput, metrics{"ttft", "tpot", "itl", "e2el"};
  std::string result_file;
  bool no_progress = false;
  double timeout_s = 600.0;
  Load load;
  ReportOptions report;
};

void add_server_flags(CommandLine& line, Flags& flags) {
  flags.report.backend = "http";
  flags.load.vocab_size = 2000;
  line.add("--backend", flags.report.backend, "Which gateway").one_of({"http", "zmq"});
  line.add("--base-url", flags.base_url, "http://host:port, instead of --host and --port");
  line.add("--host", flags.host);
  line.add("--port", flags.port);
  line.add("--zmq", flags.zmq, "Endpoint of the ZeroMQ gateway");
  line.add("--model", flags.load.model, "Default: the first one that the server names");
  line.add("--vocab-size", flags.load.vocab_size, "Prompts are token ids below this").positive();
  line.add("--timeout", flags.timeout_s, "Seconds for one request").within(0.001, 1e6);
}

void add_workload_flags(CommandLine& line, Flags& flags) {
  WorkloadOptions& workload = flags.workload;
  workload.num_requests = 100;
  workload.mean_prompt_tokens = 1024;
  line.add("--num-prompts", workload.num_requests).positive();
  line.add("--num-warmups", flags.num_warmups, "Requests sent before, all at once, that are not reported")
      .not_negative();
  line.add("--request-rate", flags.report.request_rate, "Requests per second; inf = all at once").positive();
  line.add("--burstiness", workload.burstiness, "Shape of the gamma-distributed gaps; 1 = Poisson arrivals").positive();
  line.add("--max-concurrency", flags.load.max_concurrency, "Requests under way; 0 = no limit").not_negative();
  line.add("--lengths", workload.lengths, "Default: fixed, or uniform with --random-range-ratio")
      .one_of({"fixed", "uniform", "exponential", "sharegpt"});
  line.add("--random-input-len", workload.mean_prompt_tokens, "Less by default when the context is short").positive();
  line.add("--random-output-len", workload.mean_output_tokens, "As above").positive();
  line.add("--random-range-ratio", workload.range, "Lengths lie within this share of the means").within(0.0, 1.0);
  line.add("--max-output-len", workload.max_output_tokens, "Cap of exponential and sharegpt; as above")
      .within(4, 1 << 20);
  line.add("--seed", workload.seed);
  line.add("--temperature", flags.load.temperature).not_negative();
  line.add_switch("--ignore-eos,!--no-ignore-eos", flags.load.ignore_eos, "Generate as many tokens as asked for");
}

void add_report_flags(CommandLine& line, Flags& flags) {
  line.add("--goodput", flags.goodput, "Limits in milliseconds: ttft:200 tpot:50 e2el:2000");
  line.add("--percentile-metrics", flags.metrics, "Of ttft, tpot, itl, e2el").separated_by(',');
  line.add("--metric-percentiles", flags.report.percentiles).separated_by(',').within(0.0, 100.0);
  line.add("--save-result", flags.result_file, "Write the JSON here");
  line.add_switch("--disable-tqdm", flags.no_progress, "No progress bar");
}

// What the flags say together.
Result<void> complete(const CommandLine& line, Flags& flags) {
  for (const std::string& text : flags.goodput) {
    const Result<Limit> limit = parse_limit(text);
    if (!limit) return limit.error();
    flags.report.goodput.push_back(limit.value());
  }
  flags.report.metrics.clear();
  for (const std::string& text : flags.metrics) {
    const Result<Metric> metric = parse_metric(text);
    if (!metric) return Error{metric.error().message, "percentile-metrics"};
    flags.report.metrics.push_back(metric.value());
  }
  if (flags.workload.lengths == "fixed" && flags.workload.range > 0.0) flags.workload.lengths = "uniform";
  flags.workload.request_rate = std::isinf(flags.report.request_rate) ? 0.0 : flags.report.request_rate;
  flags.report.burstiness = flags.workload.burstiness;
  flags.report.max_concurrency = flags.load.max_concurrency;
  flags.load.seed = flags.workload.seed;
  const bool capped = flags.workload.lengths == "exponential" || flags.workload.lengths == "sharegpt";
  flags.asked = {.prompt = line.given("--random-input-len"),
                 .output = line.given(capped ? "--max-output-len" : "--random-output-len")};
  flags.load.timeout = std::chrono::milliseconds(std::llround(flags.timeout_s * 1e3));
  flags.load.interrupted = &interrupted;
  return {};
}

// A connection per request under way: as many files as the system lets us have.
void raise_file_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// The first Ctrl-C ends the run, the second the program.
void watch_interrupt() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = true; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

Result<Outcome> run_load(const Flags& flags, const HttpTarget& target, const Load& load) {
  return flags.report.backend == "zmq" ? run_zmq(flags.zmq, load) : run_http(target, load);
}

// Other prompts than the measured ones, so that none of them is in the server's prefix cache.
Result<void> warm_up(const Flags& flags, const HttpTarget& target) {
  Load load = flags.load;
  load.requests.assign(static_cast<std::size_t>(flags.num_warmups), flags.load.requests.front());
  load.seed = ~flags.load.seed;
  const Result<Outcome> outcome = run_load(flags, target, load);
  if (!outcome) return outcome.error();
  for (const Record& record : outcome.value().records) {
    if (!record.error.empty()) return Error{record.error, "num-warmups"};
  }
  return {};
}

int report(const Flags& flags, const Outcome& outcome) {
  const Report report = make_report(outcome.records, outcome.duration_s, flags.report);
  fmt::print("{}", report_text(report, flags.report));
  for (const Record& record : outcome.records) {
    if (record.error.empty()) continue;
    fmt::print(stderr, "First failure: {}\n", record.error);
    break;
  }
  if (!flags.result_file.empty()) {
    std::ofstream file(flags.result_file);
    file << report_json(report, outcome.records, flags.report);
    file.close();
    if (!file) {
      fmt::print(stderr, "caudal-bench: {} cannot be written\n", flags.result_file);
      return 1;
    }
  }
  if (interrupted) return kInterruptedExit;
  return report.failed == 0 ? 0 : 1;
}

// The model and its context come from the server; the workload has to fit.
Result<void> make_load(Flags& flags, const HttpTarget& target) {
  const Result<ServedModel> model = flags.report.backend == "zmq" ? ask_model_zmq(flags.zmq, flags.load.model)
                                                                  : ask_model_http(target, flags.load.model);
  if (!model) return model.error();
  flags.report.model = flags.load.model = model.value().name;
  const Result<std::string> cut = fit_to_context(flags.asked, model.value().max_context_tokens, flags.workload);
  if (!cut) return cut.error();
  if (!cut.value().empty()) fmt::print(stderr, "{}\n", cut.value());
  Result<std::vector<RequestShape>> requests = make_workload(flags.workload);
  if (!requests) return requests.error();
  flags.load.requests = std::move(requests).value();
  return {};
}

Result<int> bench(const CommandLine& line, Flags& flags) {
  if (const Result<void> done = complete(line, flags); !done) return done.error();
  const std::string url = flags.base_url.empty() ? fmt::format("http://{}:{}", flags.host, flags.port) : flags.base_url;
  const Result<HttpTarget> target = parse_base_url(url);
  if (!target) return target.error();
  if (const Result<void> done = make_load(flags, target.value()); !done) return done.error();
  if (flags.num_warmups > 0) {
    if (const Result<void> done = warm_up(flags, target.value()); !done) return done.error();
  }
  flags.load.show_progress = !flags.no_progress && isatty(STDERR_FILENO) != 0;
  const Result<Outcome> outcome = run_load(flags, target.value(), flags.load);
  if (!outcome) return outcome.error();
  return report(flags, outcome.value());
}

int main_of_bench(int argc, char** argv) {
  CommandLine line("Puts load on a gateway and reports throughput and latency as `vllm bench serve` does.");
  Flags flags;
  add_server_flags(line, flags);
  add_workload_flags(line, flags);
  add_report_flags(line, flags);
  if (const auto code = line.parse_or_say(argc, argv)) return *code;
  raise_file_limit();
  watch_interrupt();
  const Result<int> code = bench(line, flags);
  if (code) return code.value();
  fmt::print(stderr, "caudal-bench: {}{}{}\n", code.error().field, code.error().field.empty() ? "" : ": ",
             code.error().message);
  return 1;
}

}  // namespace
}  // namespace caudal::bench

int main(int argc, char** argv) { return caudal::bench::main_of_bench(argc, argv); }
