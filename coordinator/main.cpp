// caudal-coordinator: puts the parts together, then waits for a signal. Start order: launcher child (before
// any thread), model files, listeners, engine, gateways, workers. Stop order: the reverse, so that clients
// hear the end of their streams before the workers go.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>

#include "coordinator/engine.h"
#include "coordinator/gateway/http_server.h"
#include "coordinator/gateway/zmq_gateway.h"
#include "coordinator/launcher.h"
#include "coordinator/options.h"
#include "coordinator/served_model.h"

namespace caudal {
namespace {

using namespace std::chrono_literals;

constexpr auto kSayGoodbye = 1000ms;  // for the last messages to workers
constexpr std::size_t kWorkThreads = 2;
constexpr std::size_t kMaxQueuedWork = 4096;

int complain(const Error& error) {
  LOG_ERROR("{}{}{}", error.field, error.field.empty() ? "" : ": ", error.message);
  return 1;
}

int write_keys(const std::string& path) {
  const CurveKeys keys = generate_curve_keys();
  std::ofstream file(path);
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  file << "public " << keys.public_key << "\nsecret " << keys.secret_key << "\n";
  file.close();
  return file ? 0 : complain({"cannot be written", "generate-keys"});
}

// SIGINT and SIGTERM are taken from here, in order, by the main thread alone.
int block_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_CLOEXEC);
}

LaunchConfig launch_config(const Options& options) {
  const auto self = std::filesystem::read_symlink("/proc/self/exe");
  LaunchConfig config{.num_replicas = options.num_replicas,
                      .tensor_parallel_size = options.tensor_parallel_size,
                      .worker_path = self.parent_path() / "caudal-worker",
                      .worker_args = {"--model", options.model_dir,
                                      "--max-num-sequences", std::to_string(options.scheduler.max_num_sequences),
                                      "--max-tokens-per-step", std::to_string(options.scheduler.max_tokens_per_step)},
                      .hostfile = options.hostfile};
  if (!options.curve_keys.empty()) config.worker_args.insert(config.worker_args.end(), {"--curve-keys", options.curve_keys});
  config.worker_args.insert(config.worker_args.end(), options.worker_args.begin(), options.worker_args.end());
  return config;
}

EngineConfig engine_config(const Options& options, const ModelContext& model) {
  const auto us = [](double seconds) { return static_cast<Time>(seconds * 1e6); };
  // Epochs of two lives of a coordinator never meet: they start from the wall clock.
  const auto start = std::chrono::duration_cast<std::chrono::seconds>(
                         std::chrono::system_clock::now().time_since_epoch()).count();
  return {.scheduler = options.scheduler,
          .cluster = {.lease_us = us(options.lease_s),
                      .step_timeout_us = us(options.step_timeout_s),
                      .min_vocab_size = model.tokenizer->vocab_size(),
                      .first_epoch = static_cast<Epoch>(start) << 20}};
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

Result<std::unique_ptr<ZmqGateway>> start_zmq(const Options& options, const GenerationContext& generation,
                                              WorkPool& pool) {
  if (options.zmq_endpoint.empty()) return std::unique_ptr<ZmqGateway>();
  auto keys = keys_of(options.zmq_curve_keys);
  if (!keys.ok()) return keys.error();
  ZmqConfig config;
  config.endpoint = options.zmq_endpoint;
  config.curve = std::move(keys).value();
  return ZmqGateway::start(config, generation, pool);
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

int serve(const Options& options, int signal_fd) {
  std::optional<Launcher> launcher;
  if (options.num_replicas > 0) {
    auto forked = Launcher::fork_child(launch_config(options));
    if (!forked.ok()) return complain(forked.error());
    launcher.emplace(std::move(forked).value());
  }
  auto model = load_served_model(options.model_dir, options.served_model_name);
  if (!model.ok()) return complain(model.error());
  const PromptEncoder encoder(model.value());
  Metrics metrics(options.served_model_name);

  auto link = bind_control(options);
  if (!link.ok()) return complain(link.error());
  Engine engine(engine_config(options, model.value()), std::move(link).value(), metrics);
  WorkPool pool(kWorkThreads, kMaxQueuedWork);
  const GenerationContext generation{
      .model = model.value(), .encoder = encoder, .service = engine, .metrics = metrics};

  HttpConfig http_config;
  http_config.host = options.host;
  http_config.port = static_cast<std::uint16_t>(options.port);
  auto http = HttpServer::start(http_config, generation, pool);
  if (!http.ok()) return complain(http.error());
  auto started = start_zmq(options, generation, pool);
  if (!started.ok()) return complain(started.error());
  const std::unique_ptr<ZmqGateway> zmq = std::move(started).value();
  LOG_INFO("HTTP on {}:{}, workers on {}{}{}", options.host, http.value()->port(), engine.control_endpoint(),
           zmq ? ", ZeroMQ on " : "", zmq ? zmq->endpoint() : "");

  if (launcher) launcher->start(engine.control_endpoint());
  const int code = wait_for_the_end(signal_fd, launcher);
  http.value()->begin_drain();
  if (zmq) zmq->stop();
  http.value()->stop();
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
