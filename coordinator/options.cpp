#include "coordinator/options.h"

#include <charconv>
#include <filesystem>

#include "common/command_line.h"
#include "common/host/host_cpus.h"
#include "common/installation.h"
#include "common/model_files/model_files.h"
#include "common/socket.h"
#include "coordinator/gateway/tools/format/known_formats.h"
#include "coordinator/request/speculative_modes.h"

namespace caudal {
namespace {

constexpr std::int32_t kMaxTenantWeight = 10'000;

// Each stands for itself.
std::vector<std::pair<std::string, std::string>> formats_by_name(const std::vector<std::string_view>& names) {
  std::vector<std::pair<std::string, std::string>> choices{{"auto", ""}, {"none", "none"}};
  for (const std::string_view name : names) choices.emplace_back(name, name);
  return choices;
}

void add_formats(CommandLine& line, Options& options) {
  line.add_choice<std::string>("--tool-call-parser", options.tool_call_parser,
                               formats_by_name(known_tool_format_names()),
                               "How the model writes calls of tools; auto = as its chat template prints them");
  line.add_choice<std::string>("--reasoning-parser", options.reasoning_parser, formats_by_name(known_reasoning_names()),
                               "How the model marks its reasoning; auto = as its chat template prints it");
}

void add_serving(CommandLine& line, Options& options) {
  line.add("--model", options.model_dir, "Hugging Face model directory, or a GGUF file")
      .transformed(from_installation)
      .existing_path();
  line.add("--served-model-name", options.served_model_name,
           "Name that clients use (default: the directory's or file's)");
  line.add("--host", options.host, "HTTP address; off loopback everybody who reaches it may use it");
  line.add("--port", options.port, "HTTP port; 0 picks a free one").within(0, 65535);
  line.add("--allowed-origin", options.allowed_origins,
           "Origin whose web pages may use the HTTP API, as in https://example.org; \"*\" = all (CORS)")
      .may_repeat();
  line.add("--stream-ping-s", options.stream_ping_s,
           "Seconds after which a stream without a token gets a comment, which keeps proxies waiting; 0 = never")
      .within(0.0, 3600.0);
  line.add("--drain-s", options.drain_s, "Seconds that running requests may go on after SIGINT or SIGTERM")
      .within(0.0, 86400.0);
  line.add("--max-logprobs", options.max_logprobs,
           "Log-probabilities that a request may ask for, of each token; -1 = any number")
      .within(-1, 1 << 24);
  line.add("--zmq", options.zmq_endpoint, "Endpoint of the ZeroMQ gateway; \"\" = none");
  line.add("--zmq-curve-keys", options.zmq_curve_keys, "Key file of ZeroMQ clients; needed when --zmq is off loopback")
      .existing_file();
}

void add_cluster(CommandLine& line, Options& options) {
  line.add("--control", options.control_endpoint, "Endpoint that workers connect to");
  line.add("--curve-keys", options.curve_keys, "Key file of the cluster; needed when --control is off loopback")
      .existing_file();
  line.add("--generate-keys", options.generate_keys, "Write a new key file and end");
  line.add("--lease-s", options.lease_s, "Seconds of silence after which a worker counts as gone").within(0.1, 3600.0);
  line.add("--step-timeout-s", options.step_timeout_s, "Seconds after which an unanswered step counts as hung")
      .within(0.1, 86400.0);
}

void add_launching(CommandLine& line, Options& options) {
  const auto take_replicas = [&options](const std::string& given) -> std::string {
    const char* const end = given.data() + given.size();
    int number = -1;
    const auto [behind, wrong] = std::from_chars(given.data(), end, number);
    const bool is_number = behind == end && wrong == std::errc() && number >= 0 && number <= 4096;
    if (!is_number && given != "auto") return "must be a number up to 4096, or auto";
    options.one_replica_per_node = given == "auto";
    options.num_replicas = options.one_replica_per_node ? host_cpus().num_nodes : number;
    return "";
  };
  line.add_function<std::string>("--replicas", take_replicas,
                                 "Replicas to launch with mpirun; 0 = they are started by hand; auto = one for each "
                                 "NUMA node of this host")
      .shown_as("0");
  line.add("--tensor-parallel", options.tensor_parallel_size, "Ranks per launched replica").within(1, 1024);
  line.add("--hostfile", options.hostfile, "Where launched replicas run (Open MPI format)").existing_file();
  line.add("--draft-model", options.draft_model_dir,
           "A smaller model with the same vocabulary that proposes draft tokens to launched workers")
      .existing_path();
  line.add("--worker-arg", options.worker_args,
           "Handed to launched workers, as in --worker-arg=--dtype=f32 or --worker-arg=--threads=4")
      .may_repeat();
}

// What is wrong with the entry, or "".
std::string add_tenant(const std::string& entry, TenantConfig& tenants) {
  const std::size_t equals = entry.rfind('=');
  std::int32_t weight = 0;
  const char* end = entry.data() + entry.size();
  const char* number = equals == std::string::npos ? end : entry.data() + equals + 1;
  const auto [stop, failed] = std::from_chars(number, end, weight);
  if (equals == 0 || failed != std::errc() || stop != end || weight < 1 || weight > kMaxTenantWeight) {
    return "needs NAME=WEIGHT, the weight being 1 to " + std::to_string(kMaxTenantWeight);
  }
  return tenants.weights.emplace(entry.substr(0, equals), weight).second ? "" : "names a tenant twice";
}

void add_scheduling(CommandLine& line, Options& options) {
  SchedulerConfig& scheduler = options.scheduler;
  line.add("--max-tokens-per-step", scheduler.max_tokens_per_step, "Tokens that one step may compute")
      .within(1, 1 << 20);
  line.add("--max-num-sequences", scheduler.max_num_sequences, "Sequences that run on one replica").within(1, 1 << 16);
  line.add("--max-waiting", scheduler.max_waiting, "Sequences that may wait; more are refused with 429")
      .within(1, 1 << 20);
  const auto set_itl_target = [&scheduler](double target_ms) {
    scheduler.itl_target_us = static_cast<std::int64_t>(target_ms * 1000.0);
    return "";
  };
  line.add_function<double>(
          "--itl-target-ms", set_itl_target,
          "Milliseconds between two tokens of a running sequence; prompts get what this leaves of a step")
      .within(0.1, 3'600'000.0);
  const auto add_tenants = [&scheduler](const std::vector<std::string>& entries) -> std::string {
    for (const std::string& entry : entries) {
      if (std::string problem = add_tenant(entry, scheduler.tenants); !problem.empty()) return problem;
    }
    return "";
  };
  line.add_function<std::vector<std::string>>(
          "--tenant", add_tenants, "NAME=WEIGHT: the share of a tenant (the field `user`); others have the weight 1")
      .may_repeat();
  line.add_switch("--tenants-only", scheduler.tenants.only_known, "Refuse users that --tenant does not name");
  line.add("--oldest-every", scheduler.oldest_every,
           "Every so many turns the oldest waiting sequence goes first, whatever its priority and tenant; 0 = never")
      .within(0, 1 << 20);
  line.add("--max-preemptions", scheduler.max_preemptions,
           "After so many preemptions a sequence waits for all the blocks it can need")
      .within(0, 1 << 20);
  line.add_switch("!--no-prefix-caching", scheduler.prefix_caching, "Compute every prompt from its first token");
  line.add_choice<SpeculativeMode>(
      "--speculative", scheduler.speculative, {std::begin(kSpeculativeModes), std::end(kSpeculativeModes)},
      "Where draft tokens come from, unless a request says otherwise: off, ngram, draft or auto");
  line.add_switch("!--no-chunked-prefill", scheduler.chunked_prefill, "Compute each prompt in one step");
}

// What cannot be said option by option.
std::string complaint(const Options& options) {
  if (!options.generate_keys.empty()) return "";
  if (options.model_dir.empty()) return "--model is required";
  if (options.num_replicas == 0 && !options.hostfile.empty()) return "--hostfile needs --replicas";
  if (options.one_replica_per_node && !options.hostfile.empty())
    return "--replicas auto counts the NUMA nodes of this host; with --hostfile, give a number";
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

}  // namespace

std::optional<int> parse_options(int argc, char** argv, Options& options) {
  CommandLine line("Caudal coordinator: admits, schedules and streams; workers compute.", "caudal-coordinator");
  line.add_version(CAUDAL_VERSION);
  line.add_config();
  line.add_log_level(options.log_level);
  add_serving(line, options);
  add_formats(line, options);
  add_cluster(line, options);
  add_launching(line, options);
  add_scheduling(line, options);
  if (const auto code = line.parse_or_say(argc, argv)) return code;
  if (const std::string problem = complaint(options); !problem.empty()) return line.refuse(problem);
  if (options.served_model_name.empty() && !options.model_dir.empty())
    options.served_model_name = name_of_model(options.model_dir);
  return std::nullopt;
}

}  // namespace caudal
