// All interleavings of handing requests over: submit, plan, answer, cancel, loss of a replica, late answers of
// its past epoch, rejoin. Two replicas of four blocks with two plans in flight each; every reachable state must also
// settle: every request ends with the right tokens, or was cancelled, and all blocks come back.
#include <gtest/gtest.h>

#include "coordinator/scheduler/scheduler.h"
#include "tests/sim/ledger.h"
#include "tests/sim/plan_checker.h"
#include "tests/sim/search/search.h"
#include "tests/sim/simulated_worker.h"

namespace caudal::sim {
namespace {

struct Budget {
  std::int32_t num_requests = 0;
  std::int32_t num_losses = 0;
  std::int32_t num_cancels = 0;
};

struct Bounds {
  std::int32_t num_replicas = 2;
  std::int32_t num_blocks = 2;  // of each
  Budget budget = {};
};

class Handover {
 public:
  explicit Handover(const Bounds& bounds)
      : bounds_(bounds), left_(bounds.budget), scheduler_(config()), ledger_(config(), kMaxContext) {
    nodes_.resize(static_cast<std::size_t>(bounds.num_replicas));
    for (ReplicaId id = 0; id < nodes_.size(); ++id) join(id);
  }

  std::vector<std::uint8_t> moves() const {
    std::vector<std::uint8_t> moves;
    if (left_.num_requests > 0) moves.push_back(kSubmit);
    for (std::uint8_t id = 0; id < nodes_.size(); ++id) {
      const Node& node = nodes_[id];
      if (node.epoch == 0) moves.push_back(kJoin + id);
      if (node.epoch != 0 && left_.num_losses > 0) moves.push_back(kLose + id);
      if (node.epoch != 0 && node.plans.size() < 2) moves.push_back(kPlan + id);
      if (!node.plans.empty()) moves.push_back(kAnswer + id);
      if (!node.outdated.empty()) moves.push_back(kLate + id);
    }
    if (left_.num_cancels > 0) {
      ledger_.for_each_live([&](const Promise& promise, const Stream&) {
        moves.push_back(static_cast<std::uint8_t>(kCancel + promise.request.id));
      });
    }
    return moves;
  }

  void make(std::uint8_t move) {
    const std::uint8_t what = move & 0xF0;
    const std::uint8_t id = move & 0x0F;
    if (what == kSubmit) submit();
    if (what == kJoin) join(id);
    if (what == kLose) lose(id);
    if (what == kPlan) plan(id);
    if (what == kAnswer) answer(id);
    if (what == kLate) late(id);
    if (what == kCancel) cancel(id);
    check();
  }

  // What decides all that can follow. Blocks and slots go by the sequence that has them, not by their numbers.
  std::uint64_t digest() const {
    std::uint64_t sum = mix(left_.num_requests, mix(left_.num_losses, left_.num_cancels));
    ledger_.for_each_live([&](const Promise& promise, const Stream& stream) {
      sum = mix(sum, mix(promise.request.id, stream.tokens.size()));
    });
    for (const Node& node : nodes_) {
      const ReplicaStats stats = scheduler_.replica_stats(node.id);
      sum = mix(mix(sum, node.epoch), mix(stats.num_used_blocks, mix(stats.num_running, stats.num_kv_tokens)));
      std::map<SequenceId, std::uint64_t> tables;
      for (const auto& [slot, row] : node.table) tables[row.sequence] = mix(row.num_blocks, row.num_computed);
      for (const auto& [sequence, row] : tables) sum = mix(sum, mix(sequence, row));
      for (const StepPlan& step : node.plans) sum = mix(sum, lines_of(node, step));
      sum = mix(sum, node.outdated.size());
    }
    return sum;
  }

  void settle() {
    left_ = {};
    for (ReplicaId id = 0; id < nodes_.size(); ++id) {
      if (nodes_[id].epoch == 0) join(id);
    }
    for (int rounds = 0; ledger_.num_live() > 0; ++rounds) {
      CHECK_MSG(rounds < 200, "the cluster does not come to an end");
      for (ReplicaId id = 0; id < nodes_.size(); ++id) {
        if (nodes_[id].plans.size() < 2) plan(id);
        answer(id);
        check();
      }
    }
    for (ReplicaId id = 0; id < nodes_.size(); ++id) {
      while (!nodes_[id].plans.empty()) answer(id);
      CHECK_MSG(scheduler_.replica_stats(id).num_used_blocks == 0, "blocks leaked");
    }
  }

 private:
  enum Move : std::uint8_t {
    kSubmit = 0x00,
    kJoin = 0x10,
    kLose = 0x20,
    kPlan = 0x30,
    kAnswer = 0x50,
    kLate = 0x60,
    kCancel = 0x70
  };
  static constexpr std::int32_t kMaxContext = 64;

  struct Row {
    SequenceId sequence;
    std::size_t num_blocks;
    std::int32_t num_computed;
  };
  struct Node {
    ReplicaId id = 0;
    Epoch epoch = 0;  // 0: away
    std::optional<SimulatedWorker> worker;
    std::optional<PlanChecker> checker;
    std::deque<StepPlan> plans;
    std::deque<StepResult> outdated;
    std::map<SlotId, Row> table;  // as the last plan leaves it
  };

  static SchedulerConfig config() {
    SchedulerConfig config;
    config.max_tokens_per_step = 12;  // the prompts come in two chunks
    config.max_num_sequences = 2;
    config.prefix_caching = false;
    return config;
  }
  ReplicaInfo info() const {
    ReplicaInfo info;
    info.num_blocks = bounds_.num_blocks;
    info.max_num_sequences = 2;
    info.max_tokens_per_step = 12;
    info.max_context_tokens = kMaxContext;
    return info;
  }

  static std::uint64_t lines_of(const Node& node, const StepPlan& step) {
    std::uint64_t sum = mix(step.released.size(), step.new_sequences.size());
    for (const ScheduledSequence& line : step.scheduled) {
      const auto row = node.table.find(line.slot);
      sum += mix(row == node.table.end() ? 0 : row->second.sequence, mix(line.num_tokens, line.new_blocks.size()));
    }
    return sum;
  }

  void submit() {
    Request request;
    request.id = static_cast<RequestId>(left_.num_requests--);
    request.prompt.assign(13, static_cast<TokenId>(request.id));  // fills a block after three more tokens
    request.params.stop.max_tokens = 4;
    request.params.sampling.seed = request.id;
    const SchedulerStats before = scheduler_.stats();
    ledger_.submitted(request);
    CHECK(scheduler_.submit(request, 0) == RejectReason::kNone);
    ledger_.accepted(request.id, before, scheduler_.stats());
  }
  void cancel(RequestId id) {
    --left_.num_cancels;
    ledger_.cancelled(id);
    scheduler_.cancel(id, 0);
  }
  void join(ReplicaId id) {
    Node& node = nodes_[id];
    node.id = id;
    node.epoch = ++last_epoch_;
    node.worker.emplace(info());
    node.checker.emplace(config(), info(), node.epoch);
    node.table.clear();
    scheduler_.replica_joined(id, node.epoch, info(), 0);
  }
  void lose(ReplicaId id) {
    --left_.num_losses;
    Node& node = nodes_[id];
    for (; !node.plans.empty(); node.plans.pop_front()) node.outdated.push_back(node.worker->run(node.plans.front()));
    node.epoch = 0;
    scheduler_.replica_lost(id, 0);
  }
  void plan(ReplicaId id) {
    Node& node = nodes_[id];
    auto step = scheduler_.plan(id, 0);
    if (!step) return;
    node.checker->sent(*step);
    for (const SlotId slot : step->released) node.table.erase(slot);
    for (const NewSequence& line : step->new_sequences) {
      ledger_.admitted(line, bounds_.budget.num_losses - left_.num_losses);
      node.table[line.slot] = {line.sequence_id, line.blocks.size(), line.num_computed};
    }
    for (const ScheduledSequence& line : step->scheduled) {
      node.table.at(line.slot).num_blocks += line.new_blocks.size();
      node.table.at(line.slot).num_computed += line.num_tokens;
    }
    node.plans.push_back(std::move(*step));
  }
  void answer(ReplicaId id) {
    Node& node = nodes_[id];
    if (node.plans.empty()) return;
    const StepResult result = node.worker->run(node.plans.front());
    node.plans.pop_front();
    CHECK(scheduler_.apply(id, result, 0));
    CHECK_MSG(!scheduler_.apply(id, result, 0), "an answer was taken twice");
    node.checker->answered(result);
  }
  void late(ReplicaId id) {
    CHECK_MSG(!scheduler_.apply(id, nodes_[id].outdated.front(), 0), "an answer of a past epoch was taken");
    nodes_[id].outdated.pop_front();
  }
  void check() {
    for (const TokenEvent& event : scheduler_.take_events()) ledger_.received(event, 0);
    scheduler_.check_integrity();
    ledger_.check(scheduler_.stats());
  }

  const Bounds bounds_;
  Budget left_;
  Scheduler scheduler_;
  Ledger ledger_;
  std::vector<Node> nodes_;
  Epoch last_epoch_ = 0;
};

void expect_all(const Bounds& bounds, std::size_t at_least) {
  const SearchResult result = search<Handover>(bounds);
  fmt::print("{} states, {} moves, the farthest after {}\n", result.num_states, result.num_moves, result.longest);
  EXPECT_GE(result.num_states, at_least);
}

TEST(HandoverSearch, TwoReplicasOneRequestTwoLosses) {
  expect_all({.num_replicas = 2, .num_blocks = 2, .budget = {.num_requests = 1, .num_losses = 2, .num_cancels = 1}},
             500);
}

// Both sequences fit at the start, not to the end: preemption.
TEST(HandoverSearch, OneReplicaTwoRequestsTightPool) {
  expect_all({.num_replicas = 1, .num_blocks = 3, .budget = {.num_requests = 2, .num_losses = 1, .num_cancels = 1}},
             500);
}

TEST(HandoverSearch, TwoReplicasTwoRequests) {
  expect_all({.num_replicas = 2, .num_blocks = 2, .budget = {.num_requests = 2, .num_losses = 0, .num_cancels = 1}},
             500);
}

}  // namespace
}  // namespace caudal::sim
