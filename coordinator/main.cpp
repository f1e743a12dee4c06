// caudal-coordinator: puts the parts together, then waits for a signal. Start order: launcher child (before
// any thread), model files, listeners, engine, gateways, workers. Stop order: refuse new requests, let the
// running ones end for a while, close the gateways, then the engine sends the workers away.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <optional>
#include <random>

#include "common/check.h"
#include "coordinator/cluster/launcher.h"
#include "coordinator/engine/engine.h"
#include "coordinator/gateway/chat/model_context.h"
#include "coordinator/gateway/gateway.h"
#include "coordinator/metrics/metrics.h"
#include "coordinator/options.h"

namespace caudal {
namespace {

using namespace std::chrono_literals;

constexpr auto kSayGoodbye = 1000ms;  // for the last messages to workers and clients
constexpr int kDrainLookMs = 20;

int complain(const Error& error) {
  LOG_ERROR("{}{}{}", error.field, error.field.empty() ? "" : ": ", error.message);
  return 1;
}

// For its owner's eyes only; an existing file is not touched.
int write_keys(const std::string& path) {
  const CurveKeys keys = generate_curve_keys();
  const std::string text = "public " + keys.public_key + "\nsecret " + keys.secret_key + "\n";
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
  const bool written = file >= 0 && write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (file >= 0) close(file);
  return written ? 0 : complain({"cannot be written, or exists", "generate-keys"});
}

// SIGINT and SIGTERM are taken from here, in order, by the main thread alone.
int block_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

LaunchConfig launch_config(const Options& options) {
  const auto self = std::filesystem::read_symlink("/proc/self/exe");
  LaunchConfig config{.num_replicas = options.num_replicas,
                      .tensor_parallel_size = options.tensor_parallel_size,
                      .worker_path = self.parent_path() / "caudal-worker",
                      .worker_args = {"--model", options.model_dir, "--max-num-sequences",
                                      std::to_string(options.scheduler.max_num_sequences), "--max-tokens-per-step",
                                      std::to_string(options.scheduler.max_tokens_per_step)},
                      .hostfile = options.hostfile};
  config.worker_args.insert(config.worker_args.end(), {"--lease-s", fmt::format("{}", options.lease_s)});
  if (!options.draft_model_dir.empty())
    config.worker_args.insert(config.worker_args.end(), {"--draft-model", options.draft_model_dir});
  if (!options.curve_keys.empty())
    config.worker_args.insert(config.worker_args.end(), {"--curve-keys", options.curve_keys});
  config.operator_args = options.worker_args;
  return config;
}

HashKey random_hash_key() {
  std::random_device random;
  const auto word = [&] { return std::uint64_t{random()} << 32 | random(); };
  return {.k0 = word(), .k1 = word()};
}

EngineConfig engine_config(const Options& options, ModelRegistry models) {
  const auto us = [](double seconds) { return static_cast<Time>(seconds * 1e6); };
  // Epochs of two lives of a coordinator never meet: they start from the wall clock, and no replica joins more
  // than 2^16 times a millisecond.
  const auto start =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  SchedulerConfig scheduler = options.scheduler;
  scheduler.prefix_key = random_hash_key();
  return {.scheduler = scheduler,
          .cluster = {.lease_us = us(options.lease_s),
                      .step_timeout_us = us(options.step_timeout_s),
                      .models = std::move(models),
                      .first_epoch = static_cast<Epoch>(start) << 16}};
}

Result<std::optional<CurveKeys>> keys_of(const std::string& file) {
  if (file.empty()) return std::optional<CurveKeys>();
  auto keys = load_curve_keys(file);
  if (!keys.ok()) return keys.error();
  return std::optional(std::move(keys).value());
}

Result<std::unique_ptr<WorkerLink>> bind_control(const Options& options) {
  auto keys = keys_of(options.curve_keys);
  if (!keys.ok()) return keys.error();
  SocketOptions socket{.high_water_mark = 256, .linger = kSayGoodbye, .curve = std::move(keys).value()};
  return WorkerLink::bind(options.control_endpoint, socket);
}

// Takes as many descriptors as this user may have. A connection is one; workers, ZeroMQ and log files need some, too.
std::size_t connections_that_fit() {
  constexpr rlim_t kMost = 1 << 16, kOthers = 256;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kOthers;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kMost));
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur > 2 * kOthers ? limit.rlim_cur - kOthers : limit.rlim_cur / 2;
}

Result<GatewayConfig> gateway_config(const Options& options) {
  auto keys = keys_of(options.zmq_curve_keys);
  if (!keys.ok()) return keys.error();
  GatewayConfig config;
  config.http.host = options.host;
  config.http.port = static_cast<std::uint16_t>(options.port);
  config.http.max_connections = std::min(config.http.max_connections, connections_that_fit());
  config.http.allowed_origins = options.allowed_origins;
  config.http.stream_ping = std::chrono::milliseconds(static_cast<std::int64_t>(options.stream_ping_s * 1000.0));
  config.max_logprobs = options.max_logprobs;
  config.zmq_enabled = !options.zmq_endpoint.empty();
  config.zmq.endpoint = options.zmq_endpoint;
  config.zmq.curve = std::move(keys).value();
  return config;
}

// Until a signal (0) or until the launched workers cannot run (1).
int wait_for_the_end(int signal_fd, const std::optional<Launcher>& launcher) {
  std::array<pollfd, 2> fds{{{signal_fd, POLLIN, 0}, {launcher ? launcher->fatal_fd() : -1, POLLIN, 0}}};
  while (poll(fds.data(), fds.size(), -1) < 0) {
  }
  if (fds[1].revents != 0) {
    LOG_ERROR("{}", launcher->read_fatal());
    return 1;
  }
  LOG_INFO("stopping");
  return 0;
}

// Lets what runs come to its end, for a while; a second signal cuts that short. What is left gets a last event, and
// has a moment to hear it.
void drain(Engine& engine, const Gateway& gateway, int signal_fd, double limit_s) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(limit_s);
  pollfd again{signal_fd, POLLIN, 0};
  signalfd_siginfo first{};
  if (read(signal_fd, &first, sizeof first) < 0) return;  // ended for another reason than a signal
  if (gateway.answering()) LOG_INFO("requests under way have {} s to finish; a second signal ends them now", limit_s);
  while (gateway.answering() && std::chrono::steady_clock::now() < end) {
    if (poll(&again, 1, kDrainLookMs) > 0) break;
  }
  engine.abort_all();
  const auto last_words = std::chrono::steady_clock::now() + kSayGoodbye;
  while (gateway.answering() && std::chrono::steady_clock::now() < last_words) poll(nullptr, 0, kDrainLookMs);
}

int serve(const Options& options, int signal_fd) {
  std::optional<Launcher> launcher;
  if (options.num_replicas > 0) {
    auto forked = Launcher::fork_child(launch_config(options));
    if (!forked.ok()) return complain(forked.error());
    launcher.emplace(std::move(forked).value());
  }
  auto model = load_model_context(options.model_dir, options.served_model_name,
                                  {options.tool_call_parser, options.reasoning_parser});
  if (!model.ok()) return complain(model.error());
  auto gateways = gateway_config(options);
  if (!gateways.ok()) return complain(gateways.error());
  auto link = bind_control(options);
  if (!link.ok()) return complain(link.error());

  Metrics metrics(options.served_model_name);
  const ModelRegistry models({.name = model.value().served_name,
                              .digest = model.value().card.digest,
                              .min_vocab_size = model.value().tokenizer->vocab_size()});
  Engine engine(engine_config(options, models), std::move(link).value(), metrics);
  std::vector<ModelContext> contexts;
  contexts.push_back(std::move(model).value());
  auto gateway = Gateway::start(gateways.value(), models, std::move(contexts), engine, metrics);
  if (!gateway.ok()) return complain(gateway.error());
  LOG_INFO("HTTP on {}:{}, workers on {}{}{}", options.host, gateway.value()->http_port(), engine.control_endpoint(),
           options.zmq_endpoint.empty() ? "" : ", ZeroMQ on ", gateway.value()->zmq_endpoint());

  if (launcher) launcher->start(engine.control_endpoint());
  const int code = wait_for_the_end(signal_fd, launcher);
  gateway.value()->begin_drain();
  if (code == 0) drain(engine, *gateway.value(), signal_fd, options.drain_s);
  gateway.value()->stop();
  return code;
}

}  // namespace
}  // namespace caudal

int main(int argc, char** argv) {
  caudal::Options options;
  if (auto code = caudal::parse_options(argc, argv, options)) return *code;
  caudal::log_init("coordinator", options.log_level);
  if (!options.generate_keys.empty()) return caudal::write_keys(options.generate_keys);
  return caudal::serve(options, caudal::block_signals());
}
