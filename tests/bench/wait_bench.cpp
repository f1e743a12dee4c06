// wait_bench: the worst wait under a load made to starve somebody, against first come, first served with the same
// arrivals. The real scheduler in simulated time: a step takes 10 ms and 50 us per prompt token. One replica is
// overloaded by a quarter for a minute, then drains. Prints the longest and the mean wait of every kind of client.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>

#include "common/check.h"
#include "coordinator/scheduler/scheduler.h"
#include "tests/sim/caudal_sim/instant_table.h"

namespace caudal::bench {
namespace {

constexpr Time kStepUs = 10'000;
constexpr Time kPromptTokenUs = 50;
constexpr Time kArrivalsUs = 60'000'000;
constexpr std::int32_t kMaxSequences = 32;

// A kind of client: its share of the arrivals, and what it does to be served before others.
struct Kind {
  const char* name;
  std::int32_t share;  // of 100
  std::int32_t num_prompt_tokens;
  std::int32_t priority;
  Time ttft_target_us;
  bool fresh_tenant;  // another one for every request
};
constexpr Kind kKinds[] = {
    {"flood: one tenant", 30, 900, 0, 0, false},      {"urgent: priority -10", 30, 400, -10, 0, false},
    {"many: a new tenant each", 20, 400, 0, 0, true}, {"targets: first token in 50 ms", 12, 400, 0, 50'000, false},
    {"light: few requests", 5, 400, 0, 0, false},     {"patient: priority 10", 3, 400, 10, 0, false},
};

struct Waits {
  Time longest = 0;
  Time sum = 0;
  std::int64_t count = 0;
};
using WaitsByKind = std::map<std::size_t, Waits>;

Request make_request(RequestId id, std::size_t kind_index, bool plain, Time arrival) {
  const Kind& kind = kKinds[kind_index];
  Request request;
  request.id = id;
  request.arrival = arrival;
  request.prompt.assign(static_cast<std::size_t>(kind.num_prompt_tokens), static_cast<TokenId>(id % 30000));
  request.params.stop.max_tokens = 64;
  if (plain) return request;
  request.priority = kind.priority;
  request.ttft_target_us = kind.ttft_target_us;
  request.tenant = kind.fresh_tenant ? fmt::format("new-{}", id) : kind.name;
  return request;
}

WaitsByKind run(bool plain, const SchedulerConfig& config, double arrivals_per_s) {
  Scheduler scheduler(config);
  scheduler.replica_joined(0, 1,
                           {.num_blocks = 4096,
                            .max_num_sequences = kMaxSequences,
                            .max_tokens_per_step = 2048,
                            .max_context_tokens = 2048,
                            .vocab_size = 32000,
                            .model_digest = "bench"},
                           0);
  sim::InstantTable worker(kMaxSequences);
  std::mt19937_64 random(7);
  const auto draw = [&] { return static_cast<double>(random() >> 11) * 0x1p-53; };
  std::map<RequestId, std::size_t> kinds;
  WaitsByKind waits;
  Time now = 0;
  double next_arrival = 0.0;
  RequestId last_id = 0;
  for (;;) {
    for (; next_arrival <= static_cast<double>(std::min(now, kArrivalsUs));
         next_arrival -= std::log1p(-draw()) * 1e6 / arrivals_per_s) {
      auto ticket = static_cast<std::int32_t>(random() % 100);
      std::size_t kind = 0;
      while ((ticket -= kKinds[kind].share) >= 0) ++kind;
      kinds[++last_id] = kind;
      CHECK(scheduler.submit(make_request(last_id, kind, plain, static_cast<Time>(next_arrival)), now) ==
            RejectReason::kNone);
    }
    auto plan = scheduler.plan(0, now);
    if (!plan && now > kArrivalsUs) break;
    if (!plan) {
      now = static_cast<Time>(next_arrival) + 1;
      continue;
    }
    std::int64_t num_prompt_tokens = 0;
    for (const ScheduledSequence& line : plan->scheduled)
      num_prompt_tokens += line.num_tokens > 1 ? line.num_tokens : 0;
    StepResult result = worker.run(*plan);
    result.compute_us = kStepUs + num_prompt_tokens * kPromptTokenUs;
    now += result.compute_us;
    CHECK(scheduler.apply(0, std::move(result), now));
    for (const TokenEvent& event : scheduler.take_events()) {
      if (event.queue_us == 0) continue;
      Waits& of_kind = waits[kinds.at(event.request_id)];
      of_kind.longest = std::max(of_kind.longest, event.queue_us);
      of_kind.sum += event.queue_us;
      ++of_kind.count;
    }
  }
  return waits;
}

Time longest(const WaitsByKind& waits) {
  Time all = 0;
  for (const auto& [kind, of_kind] : waits) all = std::max(all, of_kind.longest);
  return all;
}

void print(const char* name, const WaitsByKind& waits, const WaitsByKind& plain) {
  fmt::print("{:<34} longest {:6.1f} s = {:4.2f} x first come, first served\n", name, double(longest(waits)) * 1e-6,
             double(longest(waits)) / double(longest(plain)));
  for (const auto& [kind, of_kind] : waits) {
    fmt::print("  {:<32} longest {:6.1f} s  mean {:6.2f} s\n", kKinds[kind].name, double(of_kind.longest) * 1e-6,
               double(of_kind.sum) * 1e-6 / double(of_kind.count));
  }
}

}  // namespace
}  // namespace caudal::bench

int main() {
  using namespace caudal::bench;
  caudal::SchedulerConfig config;
  config.max_tokens_per_step = 512;
  config.max_waiting = 1 << 20;
  config.max_plans_in_flight = 1;
  constexpr double kArrivalsPerS = 30.0;
  const WaitsByKind plain = run(true, config, kArrivalsPerS);
  print("first come, first served", plain, plain);
  print("as configured by default", run(false, config, kArrivalsPerS), plain);
  config.oldest_every = 0;
  print("without turns for the oldest", run(false, config, kArrivalsPerS), plain);
  return 0;
}
