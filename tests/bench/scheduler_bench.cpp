// What the scheduler itself costs: microseconds of plan() + apply() per step, the rest of the world left
// out of the time. Two plans are in flight, as in the engine. Arguments: running sequences per replica,
// replicas, and sequences that end (and are replaced from the queue) per step.
#include <benchmark/benchmark.h>
#include <time.h>

#include <deque>

#include "common/check.h"
#include "coordinator/scheduler/scheduler.h"
#include "tests/sim/caudal_sim/instant_table.h"

namespace caudal {
namespace {

constexpr std::int32_t kPromptTokens = 512;

// CPU time of this thread, in seconds: what a busy neighbour takes does not count.
double cpu_now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Answers plans at once; the first `num_to_end` sequences that have said enough stop.
StepResult answer(sim::InstantTable& table, const StepPlan& plan, std::int32_t num_to_end) {
  StepResult result = table.run(plan);
  for (SequenceResult& line : result.sequences) {
    if (num_to_end <= 0) break;
    if (line.tokens.empty() || line.num_computed < kPromptTokens + 99) continue;
    --num_to_end;
    table.end(line.slot);
    line.finish_reason = FinishReason::kStop;
  }
  return result;
}

class Cluster {
 public:
  Cluster(std::int32_t num_running, std::int32_t num_replicas)
      : scheduler_(config(num_running)), workers_(num_replicas, sim::InstantTable(num_running)), plans_(num_replicas) {
    for (std::int32_t i = 0; i < num_replicas; ++i) {
      const ReplicaInfo info{.num_blocks = num_running * 256,
                             .max_num_sequences = num_running,
                             .max_tokens_per_step = 8192,
                             .max_context_tokens = 1 << 30,
                             .model_digest = {}};
      scheduler_.replica_joined(i, i + 1, info, 0);
    }
    for (std::int32_t i = 0; i < num_running * num_replicas; ++i) submit();
  }

  void submit() {
    Request request;
    request.id = ++last_id_;
    request.prompt.assign(kPromptTokens, 5);
    request.params.stop.max_tokens = 3000;
    CHECK(scheduler_.submit(std::move(request), 0) == RejectReason::kNone);
  }

  // One step of every replica; the seconds spent in plan() and apply() of one of them.
  double step(std::int32_t num_to_end) {
    double spent = 0.0;
    const auto num_replicas = static_cast<std::int32_t>(workers_.size());
    for (std::int32_t i = 0; i < num_replicas; ++i) {
      double start = cpu_now();
      auto plan = scheduler_.plan(i, 0);
      spent += cpu_now() - start;
      if (plan) plans_[i].push_back(std::move(*plan));
      if (plans_[i].size() < 2) continue;
      StepResult result = answer(workers_[i], plans_[i].front(), num_to_end);
      plans_[i].pop_front();
      start = cpu_now();
      CHECK(scheduler_.apply(i, std::move(result), 0));
      const auto events = scheduler_.take_events();
      spent += cpu_now() - start;
      for (const TokenEvent& event : events) {
        if (event.finish_reason != FinishReason::kNone) submit();
      }
    }
    return spent / num_replicas;
  }

  std::int32_t num_running() const { return scheduler_.stats().num_running; }

 private:
  static SchedulerConfig config(std::int32_t num_running) {
    SchedulerConfig config;
    config.max_tokens_per_step = 8192;
    config.max_num_sequences = num_running;
    config.max_waiting = 1 << 20;
    return config;
  }

  Scheduler scheduler_;
  std::vector<sim::InstantTable> workers_;
  std::vector<std::deque<StepPlan>> plans_;
  RequestId last_id_ = 0;
};

void plan_and_apply(benchmark::State& state) {
  const auto num_running = static_cast<std::int32_t>(state.range(0));
  const auto num_replicas = static_cast<std::int32_t>(state.range(1));
  Cluster cluster(num_running, num_replicas);
  for (int i = 0; i < 200; ++i) cluster.step(0);  // the prompts
  for (auto _ : state) state.SetIterationTime(cluster.step(static_cast<std::int32_t>(state.range(2))));
  state.counters["running"] = cluster.num_running();
}

BENCHMARK(plan_and_apply)
    ->ArgNames({"running", "replicas", "ending"})
    ->Args({32, 1, 0})
    ->Args({256, 1, 0})
    ->Args({256, 1, 4})
    ->Args({256, 8, 4})
    ->Args({1024, 1, 0})
    ->Args({1024, 1, 16})
    ->UseManualTime()
    ->Iterations(2000)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace caudal
