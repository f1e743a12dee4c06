#include "tests/bench/inprocess.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "kernels/factory/make_backend.h"
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
    : model_(or_exit(load_model_spec(model_dir, known_families())).config),
      backend_(or_exit(make_backend({}))),
      group_(std::move(make_local_group(1)[0])) {
  RunnerOptions options;
  options.load_format = format;
  options.dtype = format == LoadFormat::kDummy ? DTypeChoice::kBF16 : DTypeChoice::kAuto;
  options.max_num_sequences = max_num_sequences;
  options.max_tokens_per_step = max_tokens_per_step;
  options.max_context_tokens = 4096;
  options.kv.num_blocks = num_blocks;
  options.host_blocks.bytes = std::size_t{256} << 20;  // for pools that swap
  runner_ = or_exit(Runner::create(*backend_, *group_, model_dir, options));
}

Request InProcess::make_request(const RequestShape& shape, std::size_t index) const {
  constexpr std::size_t kShared = 1 << 30;  // no request has this index
  const auto vocab_size = static_cast<std::int32_t>(model_.vocab_size);
  Request request;
  request.id = index + 1;
  request.prompt = make_prompt(1, index, shape.num_prompt_tokens, vocab_size);
  std::ranges::copy(make_prompt(1, kShared, shape.num_shared_tokens, vocab_size), request.prompt.begin());
  request.params.sampling.temperature = 0.0F;
  request.params.stop.max_tokens = std::max(shape.num_output_tokens, shape.padded_to);
  return request;
}

RunReport InProcess::run(const std::vector<RequestShape>& workload, const SchedulerConfig& config,
                         std::size_t batch_size, const Pool& pool) {
  SchedulerConfig plain = config;
  plain.speculative = SpeculativeMode::kOff;  // random weights fall into loops, which are too easy to guess
  Scheduler scheduler(plain);
  runner_->clear();
  ReplicaInfo info = runner_->info();
  if (pool.num_blocks > 0) info.num_blocks = pool.num_blocks;
  if (!pool.swaps) info.num_host_blocks = 0;
  scheduler.replica_joined(0, next_epoch_++, info, now_us());
  RunReport report;
  report.first_token_s.resize(workload.size());
  std::vector<Time> submitted(workload.size());
  std::size_t next = 0;
  const auto submit = [&] {
    const RequestShape& shape = workload[next];
    submitted[next] = now_us();
    CHECK(scheduler.submit(make_request(shape, next), submitted[next]) == RejectReason::kNone);
    report.num_prompt_tokens += shape.num_prompt_tokens;
    report.num_output_tokens += shape.num_output_tokens;
    ++next;
  };
  KvWaste waste;
  std::int64_t num_scheduled = 0;
  const Time start = now_us();
  while (true) {
    auto plan = scheduler.plan(0, now_us());
    if (!plan && next == workload.size()) break;
    if (!plan) {
      for (std::size_t i = 0; i < batch_size && next < workload.size(); ++i) submit();
      continue;
    }
    ++report.num_steps;
    num_scheduled += std::ssize(plan->scheduled);
    CHECK(scheduler.apply(0, or_exit(runner_->run(*plan)), now_us()));
    const ReplicaStats stats = scheduler.replica_stats(0);
    waste.observe(stats);
    report.most_used_blocks = std::max(report.most_used_blocks, stats.num_used_blocks);
    for (const TokenEvent& event : scheduler.take_events()) {
      double& first = report.first_token_s[event.request_id - 1];
      if (first == 0.0) first = static_cast<double>(now_us() - submitted[event.request_id - 1]) * 1e-6;
    }
  }
  report.seconds = static_cast<double>(now_us() - start) * 1e-6;
  report.mean_batch = static_cast<double>(num_scheduled) / static_cast<double>(report.num_steps);
  report.unused_kv_share = waste.mean();
  report.num_preemptions = scheduler.stats().num_preemptions;
  report.num_swapped_in = scheduler.replica_stats(0).num_sequences_from_host;
  report.num_computed = static_cast<std::int64_t>(scheduler.replica_stats(0).num_tokens_computed);
  CHECK(scheduler.stats().num_finished == workload.size());
  return report;
}

InProcess::Arrival InProcess::run_arrival(std::int32_t num_streams, std::int32_t num_quiet,
                                          std::int32_t num_prompt_tokens, const SchedulerConfig& config) {
  constexpr std::int32_t kStreamPrompt = 64;
  Scheduler scheduler(config);
  runner_->clear();
  scheduler.replica_joined(0, next_epoch_++, runner_->info(), now_us());
  const auto submit = [&](RequestId id, std::int32_t num_tokens) {
    Request request;
    request.id = id;
    request.prompt = make_prompt(1, id, num_tokens, static_cast<std::int32_t>(model_.vocab_size));
    request.params.sampling.temperature = 0.0F;
    request.params.stop.max_tokens = 2000;
    CHECK(scheduler.submit(std::move(request), now_us()) == RejectReason::kNone);
  };
  Arrival arrival;
  bool has_begun = false;  // the prompt's sequence has a token
  const auto step_ms = [&] {
    const Time start = now_us();
    const auto plan = scheduler.plan(0, start);
    CHECK(plan && scheduler.apply(0, or_exit(runner_->run(*plan)), now_us()));
    const double taken = static_cast<double>(now_us() - start) * 1e-3;
    for (const TokenEvent& event : scheduler.take_events())
      has_begun |= event.request_id > static_cast<RequestId>(num_streams);
    return taken;
  };
  for (std::int32_t i = 0; i < num_streams; ++i) submit(static_cast<RequestId>(i + 1), kStreamPrompt);
  while (scheduler.stats().num_generated_tokens < static_cast<std::uint64_t>(4 * num_streams)) step_ms();
  for (std::int32_t i = 0; i < num_quiet; ++i) arrival.quiet_ms.push_back(step_ms());
  submit(static_cast<RequestId>(num_streams + 1), num_prompt_tokens);
  while (!has_begun) arrival.prefill_ms.push_back(step_ms());
  return arrival;
}

}  // namespace caudal::bench
