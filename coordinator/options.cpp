#include "coordinator/options.h"

#include <CLI/CLI.hpp>

#include <charconv>
#include <filesystem>
#include <map>

#include "common/installation.h"
#include "common/socket.h"

namespace caudal {
namespace {

const std::map<std::string, LogLevel> kLogLevels = {{"debug", LogLevel::kDebug},
                                                    {"info", LogLevel::kInfo},
                                                    {"warning", LogLevel::kWarning},
                                                    {"error", LogLevel::kError}};
const std::map<std::string, SpeculativeMode> kSpeculativeModes = {{"off", SpeculativeMode::kOff},
                                                                  {"ngram", SpeculativeMode::kNgram},
                                                                  {"draft", SpeculativeMode::kDraft},
                                                                  {"auto", SpeculativeMode::kAuto}};

constexpr std::int32_t kMaxTenantWeight = 10'000;

void add_serving(CLI::App& app, Options& options) {
  app.add_option("--model", options.model_dir, "Hugging Face model directory")
      ->transform(from_installation)
      ->check(CLI::ExistingDirectory);
  app.add_option("--served-model-name", options.served_model_name, "Name that clients use (default: the directory's)");
  app.add_option("--host", options.host, "HTTP address; off loopback everybody who reaches it may use it")
      ->capture_default_str();
  app.add_option("--port", options.port, "HTTP port; 0 picks a free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app.add_option("--drain-s", options.drain_s, "Seconds that running requests may go on after SIGINT or SIGTERM")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  app.add_option("--zmq", options.zmq_endpoint, "Endpoint of the ZeroMQ gateway; \"\" = none")->capture_default_str();
  app.add_option("--zmq-curve-keys", options.zmq_curve_keys, "Key file of ZeroMQ clients; needed when --zmq is off loopback")
      ->check(CLI::ExistingFile);
}

void add_cluster(CLI::App& app, Options& options) {
  app.add_option("--control", options.control_endpoint, "Endpoint that workers connect to")->capture_default_str();
  app.add_option("--curve-keys", options.curve_keys, "Key file of the cluster; needed when --control is off loopback")
      ->check(CLI::ExistingFile);
  app.add_option("--generate-keys", options.generate_keys, "Write a new key file and end");
  app.add_option("--lease-s", options.lease_s, "Seconds of silence after which a worker counts as gone")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  app.add_option("--step-timeout-s", options.step_timeout_s, "Seconds after which an unanswered step counts as hung")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
}

void add_launching(CLI::App& app, Options& options) {
  app.add_option("--replicas", options.num_replicas, "Replicas to launch with mpirun; 0 = they are started by hand")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app.add_option("--tensor-parallel", options.tensor_parallel_size, "Ranks per launched replica")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--hostfile", options.hostfile, "Where launched replicas run (Open MPI format)")
      ->check(CLI::ExistingFile);
  app.add_option("--draft-model", options.draft_model_dir,
                 "Directory of a smaller model with the same vocabulary that launched workers guess tokens with")
      ->check(CLI::ExistingDirectory);
  app.add_option("--worker-arg", options.worker_args,
                 "Handed to launched workers, as in --worker-arg=--dtype=f32 or --worker-arg=--threads=4")
      ->take_all();
}

void add_tenant(const std::string& entry, TenantConfig& tenants) {
  const std::size_t equals = entry.rfind('=');
  std::int32_t weight = 0;
  const char* end = entry.data() + entry.size();
  const char* number = equals == std::string::npos ? end : entry.data() + equals + 1;
  const auto [stop, failed] = std::from_chars(number, end, weight);
  if (equals == 0 || failed != std::errc() || stop != end || weight < 1 || weight > kMaxTenantWeight) {
    throw CLI::ValidationError("--tenant", "needs NAME=WEIGHT, the weight being 1 to " + std::to_string(kMaxTenantWeight));
  }
  if (!tenants.weights.emplace(entry.substr(0, equals), weight).second) {
    throw CLI::ValidationError("--tenant", "names a tenant twice");
  }
}

void add_scheduling(CLI::App& app, Options& options) {
  SchedulerConfig& scheduler = options.scheduler;
  app.add_option("--max-tokens-per-step", scheduler.max_tokens_per_step, "Tokens that one step may compute")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--max-num-sequences", scheduler.max_num_sequences, "Sequences that run on one replica")
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  app.add_option("--max-waiting", scheduler.max_waiting, "Sequences that may wait; more are refused with 429")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option_function<double>(
         "--itl-target-ms",
         [&scheduler](double target_ms) { scheduler.itl_target_us = static_cast<std::int64_t>(target_ms * 1000.0); },
         "Milliseconds between two tokens of a running sequence; prompts get what this leaves of a step")
      ->check(CLI::Range(0.1, 3'600'000.0));
  app.add_option_function<std::vector<std::string>>(
         "--tenant",
         [&scheduler](const std::vector<std::string>& entries) {
           for (const std::string& entry : entries) add_tenant(entry, scheduler.tenants);
         },
         "NAME=WEIGHT: the share of a tenant (the field `user`); others have the weight 1")
      ->take_all();
  app.add_flag("--tenants-only", scheduler.tenants.only_known, "Refuse users that --tenant does not name");
  app.add_option("--oldest-every", scheduler.oldest_every,
                 "Every so many turns the oldest waiting sequence goes first, whatever its priority and tenant; 0 = never")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_option("--max-preemptions", scheduler.max_preemptions,
                 "After so many preemptions a sequence waits for all the blocks it can need")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  app.add_flag("!--no-prefix-caching", scheduler.prefix_caching, "Compute every prompt from its first token");
  app.add_option("--speculative", scheduler.speculative,
                 "Who guesses tokens ahead, unless a request says otherwise: off, ngram, draft or auto")
      ->transform(CLI::CheckedTransformer(kSpeculativeModes).description(""))
      ->default_str("auto");
  app.add_flag("!--no-chunked-prefill", scheduler.chunked_prefill, "Compute each prompt in one step");
  app.add_option_function<std::int32_t>(
         "--static-batch",
         [&scheduler](std::int32_t size) {
           scheduler.batching = BatchingMode::kStatic;
           scheduler.static_batch_size = size;
         },
         "Batch statically, this many sequences at a time (a baseline for benchmarks)")
      ->check(CLI::Range(1, 1 << 16));
}

// What CLI11 cannot say option by option.
std::string complaint(const Options& options) {
  if (!options.generate_keys.empty()) return "";
  if (options.model_dir.empty()) return "--model is required";
  if (options.num_replicas == 0 && !options.hostfile.empty()) return "--hostfile needs --replicas";
  if (options.num_replicas == 0 && !options.draft_model_dir.empty())
    return "--draft-model needs --replicas; give it to workers that are started by hand";
  if (options.num_replicas == 0 && !options.worker_args.empty()) return "--worker-arg needs --replicas";
  if (!options.hostfile.empty() && (is_loopback_endpoint(options.control_endpoint) ||
                                    options.control_endpoint.find("//0.0.0.0:") != std::string::npos ||
                                    options.control_endpoint.find("//*:") != std::string::npos)) {
    return "--hostfile needs --control with an address that the other hosts can connect to";
  }
  if (options.scheduler.tenants.only_known && options.scheduler.tenants.weights.empty()) {
    return "--tenants-only needs --tenant";
  }
  if (options.scheduler.itl_target_us > 0 && !options.scheduler.chunked_prefill) {
    return "--itl-target-ms needs chunked prefill";
  }
  return "";
}

std::string directory_name(const std::string& path) {
  const auto absolute = std::filesystem::absolute(path).lexically_normal();
  return absolute.has_filename() ? absolute.filename() : absolute.parent_path().filename();
}

}  // namespace

std::optional<int> parse_options(int argc, char** argv, Options& options) {
  CLI::App app("Caudal coordinator: admits, schedules and streams; workers compute.", "caudal-coordinator");
  app.set_version_flag("--version", CAUDAL_VERSION);
  app.set_config("--config", "", "TOML file with the same names as these options");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_option("--log-level", options.log_level, "debug, info, warning or error")
      ->transform(CLI::CheckedTransformer(kLogLevels).description(""))
      ->default_str("info");
  add_serving(app, options);
  add_cluster(app, options);
  add_launching(app, options);
  add_scheduling(app, options);
  try {
    app.parse(argc, argv);
    if (const std::string problem = complaint(options); !problem.empty()) throw CLI::ValidationError(problem);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  if (options.served_model_name.empty() && !options.model_dir.empty()) options.served_model_name = directory_name(options.model_dir);
  return std::nullopt;
}

}  // namespace caudal
