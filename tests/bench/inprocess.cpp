#include "tests/bench/inprocess.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "worker/comm/local.h"
#include "worker/model/model_config.h"

namespace caudal::bench {
namespace {

template <typename T>
T or_exit(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s: %s\n", result.error().field.c_str(), result.error().message.c_str());
    std::exit(1);
  }
  return std::move(result).value();
}

Time now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Share of allocated token places that hold no token, over running sequences.
struct KvWaste {
  double sum = 0.0;
  std::int64_t num_steps = 0;

  void observe(const ReplicaStats& stats) {
    const double places = static_cast<double>(stats.num_used_blocks) * kBlockSize;
    if (places == 0.0) return;
    sum += 1.0 - static_cast<double>(stats.num_kv_tokens) / places;
    ++num_steps;
  }
  double mean() const { return num_steps > 0 ? sum / static_cast<double>(num_steps) : 0.0; }
};

}  // namespace

InProcess::InProcess(const std::string& model_dir, LoadFormat format, std::int32_t max_num_sequences,
                     std::int32_t max_tokens_per_step, std::int64_t num_blocks)
    : model_(or_exit(load_model_config(model_dir))),
      backend_(or_exit(make_backend({}))),
      group_(std::move(make_local_group(1)[0])) {
  RunnerOptions options;
  options.load_format = format;
  options.dtype = format == LoadFormat::kDummy ? DTypeChoice::kBF16 : DTypeChoice::kAuto;
  options.max_num_sequences = max_num_sequences;
  options.max_tokens_per_step = max_tokens_per_step;
  options.max_context_tokens = 4096;
  options.kv.num_blocks = num_blocks;
  runner_ = or_exit(Runner::create(*backend_, *group_, model_dir, options));
}

RunReport InProcess::run(const std::vector<RequestShape>& workload, const SchedulerConfig& config) {
  Scheduler scheduler(config);
  runner_->clear();
  scheduler.replica_joined(0, next_epoch_++, runner_->info(), now_us());
  RunReport report;
  for (std::size_t i = 0; i < workload.size(); ++i) {
    Request request;
    request.id = i + 1;
    request.prompt = make_prompt(1, i, workload[i].num_prompt_tokens, static_cast<std::int32_t>(model_.vocab_size));
    request.sampling.temperature = 0.0F;
    request.stop.max_tokens = std::max(workload[i].num_output_tokens, workload[i].padded_to);
    CHECK(scheduler.submit(std::move(request), now_us()) == RejectReason::kNone);
    report.num_prompt_tokens += workload[i].num_prompt_tokens;
    report.num_output_tokens += workload[i].num_output_tokens;
  }
  KvWaste waste;
  std::int64_t num_scheduled = 0;
  const Time start = now_us();
  while (auto plan = scheduler.plan(0, now_us())) {
    ++report.num_steps;
    num_scheduled += std::ssize(plan->scheduled);
    CHECK(scheduler.apply(0, or_exit(runner_->run(*plan)), now_us()));
    waste.observe(scheduler.replica_stats(0));
    scheduler.take_events();
  }
  report.seconds = static_cast<double>(now_us() - start) * 1e-6;
  report.mean_batch = static_cast<double>(num_scheduled) / static_cast<double>(report.num_steps);
  report.unused_kv_share = waste.mean();
  CHECK(scheduler.stats().num_finished == workload.size());
  return report;
}

}  // namespace caudal::bench
