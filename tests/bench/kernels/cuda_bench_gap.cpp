// The host gap of decode: how long the device stands still between two steps. What a step takes on the device alone is
// measured with all of its work queued behind a gate; then steps run one plan at a time and with two in flight, as in a
// worker, without its link. Prints milliseconds a step, and the gap as a share of it.
#include <cuda_runtime_api.h>
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <thread>

#include "common/command_line.h"
#include "common/log.h"
#include "kernels/cuda/backend/cuda_backend.h"
#include "kernels/factory/make_backend.h"
#include "worker/comm/local.h"
#include "worker/runner/runner.h"

namespace caudal::bench {
namespace {

struct Options {
  std::string model;
  std::string device = CAUDAL_BENCH_DEVICE;
  std::int32_t batch = 32, context = 1024, steps = 100;
};

template <typename T>
T or_exit(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "{}\n", result.error().message);
    std::exit(1);
  }
  return std::move(result).value();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

class GapBench {
 public:
  explicit GapBench(const Options& options)
      : options_(options),
        backend_(or_exit(make_backend({.device = options.device, .max_isa = ""}))),
        group_(std::move(make_local_group(1).front())) {
    RunnerOptions runner;
    runner.load_format = LoadFormat::kDummy;
    runner.dtype = DTypeChoice::kBF16;
    runner.max_num_sequences = options.batch;
    runner.max_context_tokens = options.context + 3 * options.steps + 2;
    runner.kv.num_blocks = std::int64_t{options.batch} * blocks_per_sequence();
    runner_ = or_exit(Runner::create(*backend_, *group_, options.model, runner));
    for (cudaEvent_t* event : {&begin_, &end_}) check(cudaEventCreateWithFlags(event, cudaEventDefault));
  }
  ~GapBench() {
    for (cudaEvent_t event : {begin_, end_}) cudaEventDestroy(event);
  }
  GapBench(const GapBench&) = delete;
  GapBench& operator=(const GapBench&) = delete;

  void run() {
    fill_caches();
    const double device = median(device_ms());
    fmt::print("batch {}, context {}: {:.3f} ms a step on the device\n", options_.batch, options_.context, device);
    print("two plans in flight", device, wall_ms(2));
    print("one plan at a time", device, wall_ms(1));
  }

 private:
  static void check(cudaError_t status) {
    if (status == cudaSuccess) return;
    fmt::print(stderr, "{}\n", cudaGetErrorString(status));
    std::exit(1);
  }
  static void print(const char* how, double device, double wall) {
    fmt::print("{}: {:.3f} ms a step, host gap {:.3f} ms ({:.1f} %)\n", how, wall, wall - device,
               100.0 * (wall - device) / wall);
  }
  std::int32_t blocks_per_sequence() const { return (options_.context + 3 * options_.steps + 2) / kBlockSize + 1; }
  cudaStream_t stream() const { return static_cast<cuda::CudaBackend&>(*backend_).context().stream(); }
  void submit(const StepPlan& plan) {
    if (const Result<void> submitted = runner_->submit(plan); !submitted) {
      fmt::print(stderr, "{}\n", submitted.error().message);
      std::exit(1);
    }
  }

  // One sequence after another enters with its whole context and draws its first token.
  void fill_caches() {
    const std::int32_t most = runner_->info().max_tokens_per_step;
    for (const SlotId slot : ids<SlotId>(options_.batch)) {
      NewSequence sequence;
      sequence.slot = slot;
      for (std::int32_t i = 0; i < options_.context; ++i)
        sequence.tokens.push_back((i * 31 + slot.value() * 7) % runner_->info().vocab_size);
      sequence.num_prompt_tokens = options_.context;
      for (std::int32_t i = 0; i < blocks_per_sequence(); ++i)
        sequence.blocks.push_back(BlockId::of(slot.value() * blocks_per_sequence() + i));
      sequence.params.sampling.temperature = 0.0F;
      sequence.params.stop.max_tokens = 1 << 30;
      for (std::int32_t computed = 0; computed < options_.context; computed += most) {
        StepPlan plan;
        plan.step_id = ++step_;
        if (computed == 0) plan.new_sequences = {sequence};
        plan.scheduled = {{slot, std::min(most, options_.context - computed), {}, 0}};
        or_exit(runner_->run(plan));
      }
    }
  }

  StepPlan decode() {
    StepPlan plan;
    plan.step_id = ++step_;
    for (const SlotId slot : ids<SlotId>(options_.batch)) plan.scheduled.push_back({slot, 1, {}, 0});
    return plan;
  }

  // The device stands before a gate until the whole step is queued.
  std::vector<double> device_ms() {
    std::vector<double> all;
    for (std::int32_t i = 0; i < options_.steps; ++i) {
      std::atomic<bool> open{false};
      check(cudaLaunchHostFunc(
          stream(),
          [](void* gate) {
            while (!*static_cast<std::atomic<bool>*>(gate)) std::this_thread::yield();
          },
          &open));
      check(cudaEventRecord(begin_, stream()));
      submit(decode());
      check(cudaEventRecord(end_, stream()));
      open = true;
      or_exit(runner_->collect());
      backend_->synchronize();
      float ms = 0.0F;
      check(cudaEventElapsedTime(&ms, begin_, end_));
      all.push_back(static_cast<double>(ms));
    }
    return all;
  }

  double wall_ms(std::size_t plans_in_flight) {
    const auto begin = std::chrono::steady_clock::now();
    for (std::int32_t i = 0; i < options_.steps; ++i) {
      submit(decode());
      if (runner_->num_in_flight() == plans_in_flight) or_exit(runner_->collect());
    }
    while (runner_->num_in_flight() > 0) or_exit(runner_->collect());
    const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - begin;
    return elapsed.count() / options_.steps;
  }

  Options options_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Communicator> group_;
  std::unique_ptr<Runner> runner_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  StepId step_ = 0;
};

}  // namespace
}  // namespace caudal::bench

int main(int argc, char** argv) {
  caudal::bench::Options options;
  caudal::CommandLine line("The host gap between decode steps.", "cuda_bench_gap");
  line.add("--model", options.model, "Directory with a config.json; the weights are random").required();
  line.add("--device", options.device);
  line.add("--batch", options.batch).within(1, 4096);
  line.add("--context", options.context).within(1, 1 << 20);
  line.add("--steps", options.steps).within(1, 100000);
  if (const auto code = line.parse_or_say(argc, argv)) return *code;
  caudal::log_init("gap", caudal::LogLevel::kInfo);
  caudal::bench::GapBench(options).run();
  return 0;
}
