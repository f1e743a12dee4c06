// Placement by prefix against round robin and least load: the scheduler as it is, simulated replicas whose
// steps take what a formula says, clients that ask again as soon as they are answered. The prompts come in
// groups of a common prefix, more of them than one replica can cache. Round robin and least load are what a
// balancer in front of single-replica schedulers does. Prints a table; the same figures on every machine.
#include <fmt/core.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <random>

#include "common/check.h"
#include "coordinator/scheduler/scheduler.h"
#include "tests/sim/caudal_sim/instant_table.h"

namespace caudal {
namespace {

constexpr std::int32_t kNumReplicas = 8;
constexpr std::int32_t kNumClients = 512;
constexpr std::int32_t kNumRequests = 8192;
constexpr std::int32_t kPrefixTokens = 2048;
constexpr std::int32_t kOwnTokens = 128;
constexpr std::int32_t kOutputTokens = 256;
constexpr std::int32_t kMaxSequences = 256;  // of a replica

// An 8B model in bf16 on an 80 GB card: 2 TB/s, 170 TFLOP/s reached, 128 KiB of KV per token, 52 GB for KV.
constexpr std::int32_t kNumBlocks = 26000;
constexpr double kWeightsUs = 8000.0;
constexpr double kTokenUs = 94.0;
constexpr double kKvTokenUs = 0.066;
constexpr double kOverheadUs = 500.0;

enum class Policy { kRoundRobin, kLeastLoad, kPrefix };

// The answer of a replica, and how long it took.
StepResult timed_run(sim::InstantTable& replica, const StepPlan& plan) {
  sim::StepWork work;
  StepResult result = replica.run(plan, work);
  const double step_us =
      std::max(kWeightsUs, work.num_tokens * kTokenUs) + work.num_kv_tokens * kKvTokenUs + kOverheadUs;
  result.compute_us = static_cast<std::int64_t>(step_us);
  return result;
}

struct Outcome {
  double tokens_per_s = 0.0;
  double hit_rate = 0.0;
  std::int32_t most_running = 0;  // on one replica
};

// One scheduler for all replicas, or one each behind a balancer.
class Cluster {
 public:
  Cluster(Policy policy, std::int32_t num_groups) : policy_(policy), nodes_(kNumReplicas) {
    const std::int32_t num_schedulers = policy == Policy::kPrefix ? 1 : kNumReplicas;
    SchedulerConfig config;
    config.max_waiting = kNumClients;
    for (std::int32_t i = 0; i < num_schedulers; ++i) schedulers_.push_back(std::make_unique<Scheduler>(config));
    const ReplicaInfo info{.num_blocks = kNumBlocks,
                           .max_num_sequences = kMaxSequences,
                           .max_tokens_per_step = 2048,
                           .max_context_tokens = 8192,
                           .model_digest = {}};
    for (std::int32_t i = 0; i < kNumReplicas; ++i) scheduler_of(i).replica_joined(i, i + 1, info, 0);
    for (std::int32_t i = 0; i < kNumRequests; ++i) order_.push_back(i % num_groups);
    std::mt19937_64 random(1);
    for (std::size_t i = order_.size() - 1; i > 0; --i) std::swap(order_[i], order_[random() % (i + 1)]);
    num_live_.assign(schedulers_.size(), 0);
  }

  Outcome run() {
    for (std::int32_t i = 0; i < kNumClients; ++i) submit();
    plan_all();
    while (num_finished_ < order_.size()) {
      const auto next = std::ranges::min_element(nodes_, {}, [](const Node& n) { return n.done_at(); });
      now_ = next->done_at();
      answer(static_cast<ReplicaId>(next - nodes_.begin()));
      plan_all();
    }
    Outcome outcome{.most_running = most_running_};
    double num_queried = 0.0;
    for (std::int32_t i = 0; i < kNumReplicas; ++i) {
      const ReplicaStats stats = scheduler_of(i).replica_stats(i);
      num_queried += static_cast<double>(stats.num_prefix_tokens_queried);
      outcome.hit_rate += static_cast<double>(stats.num_prefix_tokens_hit);
    }
    outcome.hit_rate /= num_queried;
    const double num_tokens = static_cast<double>(order_.size()) * (kPrefixTokens + kOwnTokens + kOutputTokens);
    outcome.tokens_per_s = num_tokens / (static_cast<double>(now_) * 1e-6);
    return outcome;
  }

 private:
  struct Node {
    sim::InstantTable replica{kMaxSequences};
    std::deque<StepPlan> plans;
    std::optional<StepResult> running;
    Time end = 0;

    Time done_at() const { return running ? end : std::numeric_limits<Time>::max(); }
  };

  Scheduler& scheduler_of(ReplicaId id) { return *schedulers_[id % schedulers_.size()]; }

  std::size_t balance() const {
    if (policy_ == Policy::kRoundRobin) return num_submitted_ % schedulers_.size();
    return static_cast<std::size_t>(std::ranges::min_element(num_live_) - num_live_.begin());
  }

  void submit() {
    if (num_submitted_ == order_.size()) return;
    Request request;
    const std::size_t target = balance();
    const std::int32_t group = order_[num_submitted_];
    request.id = ++num_submitted_;
    for (std::int32_t i = 0; i < kPrefixTokens; ++i) request.prompt.push_back(group * 7 + i % 1000);
    for (std::int32_t i = 0; i < kOwnTokens; ++i) request.prompt.push_back(static_cast<TokenId>(request.id) + i);
    request.params.stop.max_tokens = kOutputTokens;
    request.arrival = now_;
    CHECK(schedulers_[target]->submit(std::move(request), now_) == RejectReason::kNone);
    ++num_live_[target];
  }

  void start(Node& node) {
    if (node.running || node.plans.empty()) return;
    node.running = timed_run(node.replica, node.plans.front());
    node.plans.pop_front();
    node.end = now_ + node.running->compute_us;
  }

  void plan_all() {
    for (bool any = true; any;) {
      any = false;
      for (ReplicaId id = 0; id < kNumReplicas; ++id) {
        auto plan = scheduler_of(id).plan(id, now_);
        if (!plan) continue;
        any = true;
        nodes_[id].plans.push_back(std::move(*plan));
        start(nodes_[id]);
        most_running_ = std::max(most_running_, scheduler_of(id).replica_stats(id).num_running);
      }
    }
  }

  void answer(ReplicaId id) {
    Node& node = nodes_[id];
    CHECK(scheduler_of(id).apply(id, std::move(*node.running), now_));
    node.running.reset();
    start(node);
    for (const TokenEvent& event : scheduler_of(id).take_events()) {
      if (event.finish_reason == FinishReason::kNone) continue;
      ++num_finished_;
      --num_live_[id % schedulers_.size()];
      submit();
    }
  }

  Policy policy_;
  std::vector<std::unique_ptr<Scheduler>> schedulers_;
  std::vector<Node> nodes_;
  std::vector<std::int32_t> order_;     // groups, as their requests are asked
  std::vector<std::int32_t> num_live_;  // requests by scheduler
  std::size_t num_submitted_ = 0;
  std::size_t num_finished_ = 0;
  std::int32_t most_running_ = 0;
  Time now_ = 0;
};

void print_rows(std::int32_t num_groups) {
  Outcome base;
  for (const auto& [name, policy] :
       {std::pair{"round robin", Policy::kRoundRobin}, std::pair{"least load", Policy::kLeastLoad},
        std::pair{"by prefix", Policy::kPrefix}}) {
    const Outcome outcome = Cluster(policy, num_groups).run();
    if (policy == Policy::kRoundRobin) base = outcome;
    fmt::print("{:>6} {:<12} {:>10.0f} {:>6.2f}x {:>8.1f}% {:>6.2f}x {:>13}\n", num_groups, name, outcome.tokens_per_s,
               outcome.tokens_per_s / base.tokens_per_s, 100.0 * outcome.hit_rate, outcome.hit_rate / base.hit_rate,
               outcome.most_running);
  }
}

void print_table() {
  fmt::print("{} requests of {} shared + {} own prompt tokens, {} out; {} clients, {} replicas\n", kNumRequests,
             kPrefixTokens, kOwnTokens, kOutputTokens, kNumClients, kNumReplicas);
  fmt::print("{:>6} {:<12} {:>10} {:>7} {:>9} {:>7} {:>13}\n", "groups", "placement", "tokens/s", "ratio", "hit rate",
             "ratio", "most running");
  for (const std::int32_t num_groups : {1, 256, 512, 768}) print_rows(num_groups);
}

}  // namespace
}  // namespace caudal

int main() { caudal::print_table(); }
