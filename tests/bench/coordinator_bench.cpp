// coordinator_bench: how many tokens a second one coordinator hands out. The engine with its real links against fake
// workers (fake_workers.h) and in-process clients that always ask for more; no model, no HTTP. Workers and clients
// take their share of the same cores.
#include <fmt/core.h>
#include <sys/resource.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "common/command_line.h"
#include "common/log.h"
#include "coordinator/engine/engine.h"
#include "tests/bench/fake_workers.h"

namespace caudal::bench {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

struct Options {
  std::int32_t num_workers = 256;
  std::int32_t batch = 32;  // sequences on each
  std::int32_t num_prompt_tokens = 32;
  std::int32_t num_output_tokens = 128;
  double warmup_s = 2.0;
  double seconds = 5.0;
};

// All requests share it: counts, and tells the client thread what has ended.
class Counter final : public TokenSink {
 public:
  void on_event(TokenEvent event) override {
    num_tokens_ += event.tokens.size();
    if (event.finish_reason == FinishReason::kNone) return;
    if (event.finish_reason == FinishReason::kError) ++num_errors_;
    ended_.try_push(1);
  }
  std::uint64_t num_tokens() const { return num_tokens_; }
  std::uint64_t num_errors() const { return num_errors_; }
  std::size_t wait_for_ended() { return ended_.drain_for(10ms).size(); }

 private:
  std::atomic<std::uint64_t> num_tokens_ = 0;
  std::atomic<std::uint64_t> num_errors_ = 0;
  Queue<char> ended_{1 << 20};
};

double cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Connections of so many workers need descriptors on both ends.
void raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int run(const Options& options) {
  raise_descriptor_limit();
  log_init("bench", LogLevel::kError);
  auto link = WorkerLink::bind("tcp://127.0.0.1:0", {.high_water_mark = 256, .linger = 100ms});
  CHECK(link.ok());
  Metrics metrics("bench");
  EngineConfig config;
  config.scheduler.max_num_sequences = options.batch;
  config.scheduler.max_waiting = 1 << 20;
  Engine engine(config, std::move(link).value(), metrics);
  const ReplicaInfo info{
      .num_blocks = options.batch * ((options.num_prompt_tokens + options.num_output_tokens) / 16 + 3),
      .max_num_sequences = options.batch,
      .max_tokens_per_step = 2048,
      .max_context_tokens = 4096,
      .vocab_size = 32000,
      .model_digest = "bench"};
  FakeWorkers workers(engine.control_endpoint(), options.num_workers, info);
  const auto patience = Clock::now() + 30s;
  while (engine.status().num_replicas < options.num_workers && Clock::now() < patience)
    std::this_thread::sleep_for(10ms);
  if (engine.status().num_replicas < options.num_workers) {
    fmt::print(stderr, "only {} of {} workers joined\n", engine.status().num_replicas, options.num_workers);
    return 1;
  }

  auto counter = std::make_shared<Counter>();
  std::uint64_t next_prompt = 0;
  const auto submit = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      Request request;
      const auto first = static_cast<TokenId>(next_prompt++ % 30000);  // no two alike for long
      request.prompt.assign(static_cast<std::size_t>(options.num_prompt_tokens), first);
      request.params.stop.max_tokens = options.num_output_tokens;
      request.arrival = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now().time_since_epoch()).count();
      while (!engine.submit(request, counter).ok()) std::this_thread::sleep_for(1ms);
    }
  };
  std::jthread clients([&](const std::stop_token& stop) {
    const auto concurrency = static_cast<std::size_t>(options.num_workers) * static_cast<std::size_t>(options.batch);
    submit(concurrency);
    while (!stop.stop_requested()) submit(counter->wait_for_ended());
  });

  std::this_thread::sleep_for(std::chrono::duration<double>(options.warmup_s));
  const std::uint64_t tokens_before = counter->num_tokens();
  const std::uint64_t steps_before = workers.num_steps();
  const double cpu_before = cpu_seconds();
  const auto start = Clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds));
  const double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
  const auto tokens = static_cast<double>(counter->num_tokens() - tokens_before);
  const auto steps = static_cast<double>(workers.num_steps() - steps_before);
  const double cpu = cpu_seconds() - cpu_before;
  clients.request_stop();
  fmt::print(
      "{:5} workers x {:3} sequences: {:9.0f} tokens/s  {:7.0f} steps/s  {:5.2f} cores used  "
      "{:9.0f} tokens per core second  {} errors\n",
      options.num_workers, options.batch, tokens / elapsed, steps / elapsed, cpu / elapsed, tokens / cpu,
      counter->num_errors());
  return counter->num_errors() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace caudal::bench

int main(int argc, char** argv) {
  caudal::bench::Options options;
  caudal::CommandLine line("Tokens per second of one coordinator, against fake workers over real ZeroMQ links");
  line.add("--workers", options.num_workers, "Replicas").within(1, 4096);
  line.add("--batch", options.batch, "Sequences on each").within(1, 4096);
  line.add("--input-len", options.num_prompt_tokens, "Prompt tokens").within(1, 2048);
  line.add("--output-len", options.num_output_tokens, "Output tokens").within(1, 2000);
  line.add("--warmup-s", options.warmup_s, "Seconds before measuring");
  line.add("--seconds", options.seconds, "Seconds of measuring");
  if (const auto code = line.parse_or_say(argc, argv)) return *code;
  return caudal::bench::run(options);
}
