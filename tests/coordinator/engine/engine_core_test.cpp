// What the engine does about time, told by hand: how long requests wait for a replica.
#include "coordinator/engine/engine_core.h"

#include <gtest/gtest.h>

#include "tests/sim/simulated_worker.h"

namespace caudal {
namespace {

constexpr Time kSecond = 1'000'000;

class LastEvent : public TokenSink {
 public:
  void on_event(TokenEvent event) override {
    num_tokens += event.tokens.size();
    finish_reason = event.finish_reason;
    reject = event.reject;
  }
  std::size_t num_tokens = 0;
  FinishReason finish_reason = FinishReason::kNone;
  RejectReason reject = RejectReason::kNone;
};

// A replica of one slot. Its steps take as long as the test says.
class EngineCoreTest : public testing::Test, private EngineCore::Outlet {
 protected:
  void submit_at(Time now, std::optional<Time> deadline = {}, ModelId model = 0) {
    Request request;
    request.id = sinks_.size() + 1;
    request.arrival = now;
    request.prompt = {1, 2, 3};
    request.params.stop.max_tokens = 2;
    request.deadline = deadline;
    request.model = model;
    sinks_.push_back(std::make_shared<LastEvent>());
    core_.submit(std::move(request), sinks_.back(), now);
    core_.finish_turn(now);
  }

  void join_at(Time now) {
    worker_.emplace(kInfo);
    core_.take("worker", Register{.replica_key = "a", .info = kInfo, .build_version = "test"}, now);
    core_.finish_turn(now);
  }

  void lose_at(Time now) {
    plans_.clear();
    core_.take_peer_gone("worker", now);
    core_.finish_turn(now);
  }

  void answer_at(Time now) {
    for (const StepPlan& plan : std::exchange(plans_, {})) core_.take("worker", worker_->run(plan), now);
    core_.finish_turn(now);
  }

  void send(std::vector<Peer>, ToWorker message) override {
    if (auto* plan = std::get_if<StepPlan>(&message)) plans_.push_back(std::move(*plan));
  }
  void on_joined(const Cluster::Joined&) override {}
  void on_lost(const Cluster::Lost&) override {}
  void on_step(ReplicaId, const StepSample&) override {}
  void on_stale_result() override { FAIL() << "a result was dropped"; }
  void on_first_plan(ReplicaId, Time) override {}

  static EngineConfig config() {
    EngineConfig config;
    config.scheduler.max_plans_in_flight = 1;
    config.cluster.lease_us = 1'000 * kSecond;
    config.cluster.step_timeout_us = 1'000 * kSecond;
    config.cluster.models = ModelRegistry({.name = "toy", .digest = "toy"});
    config.cluster.models.add({.name = "other", .digest = "other"});
    config.no_replica_wait_us = 30 * kSecond;
    return config;
  }

  const ReplicaInfo kInfo{.num_blocks = 8,
                          .max_num_sequences = 1,
                          .max_tokens_per_step = 16,
                          .max_context_tokens = 64,
                          .vocab_size = sim::ToyModel::kVocabulary,
                          .model_digest = "toy"};
  EngineCore core_{config(), *this};
  std::optional<sim::SimulatedWorker> worker_;
  std::vector<StepPlan> plans_;
  std::vector<std::shared_ptr<LastEvent>> sinks_;
};

TEST_F(EngineCoreTest, RequestsThatCameBeforeTheFirstReplicaWaitForTheirTurn) {
  for (int i = 0; i < 24; ++i) submit_at(100 * kSecond);
  join_at(105 * kSecond);
  for (Time now = 110 * kSecond; !plans_.empty(); now += 5 * kSecond) answer_at(now);
  for (const auto& sink : sinks_) {
    EXPECT_EQ(sink->reject, RejectReason::kNone);
    EXPECT_EQ(sink->finish_reason, FinishReason::kLength);
    EXPECT_EQ(sink->num_tokens, 2U);
  }
}

TEST_F(EngineCoreTest, WithoutAReplicaEachWaitsFromItsArrival) {
  submit_at(100 * kSecond);
  submit_at(110 * kSecond);
  core_.finish_turn(130 * kSecond);
  EXPECT_EQ(sinks_[0]->finish_reason, FinishReason::kNone);
  core_.finish_turn(130 * kSecond + 1);
  EXPECT_EQ(sinks_[0]->reject, RejectReason::kNoReplica);
  EXPECT_EQ(sinks_[1]->finish_reason, FinishReason::kNone);
  core_.finish_turn(140 * kSecond + 1);
  EXPECT_EQ(sinks_[1]->reject, RejectReason::kNoReplica);
}

TEST_F(EngineCoreTest, WithTheLastReplicaGoneNobodyWaitsForEver) {
  join_at(100 * kSecond);
  submit_at(101 * kSecond);  // starts
  submit_at(101 * kSecond);  // waits
  answer_at(102 * kSecond);
  EXPECT_EQ(sinks_[0]->num_tokens, 1U);
  lose_at(200 * kSecond);
  core_.finish_turn(230 * kSecond);
  for (const auto& sink : sinks_) EXPECT_EQ(sink->finish_reason, FinishReason::kNone);
  core_.finish_turn(230 * kSecond + 1);
  for (const auto& sink : sinks_) EXPECT_EQ(sink->reject, RejectReason::kNoReplica);
}

TEST_F(EngineCoreTest, AReplicaThatComesBackInTimeGoesOn) {
  join_at(100 * kSecond);
  submit_at(101 * kSecond);
  answer_at(102 * kSecond);
  lose_at(200 * kSecond);
  core_.finish_turn(220 * kSecond);
  join_at(229 * kSecond);
  for (Time now = 300 * kSecond; !plans_.empty(); now += 100 * kSecond) answer_at(now);
  EXPECT_EQ(sinks_[0]->finish_reason, FinishReason::kLength);
}

// The client has said how long it waits.
TEST_F(EngineCoreTest, ADeadlineOfTheClientHoldsInsteadUntilTheStart) {
  submit_at(100 * kSecond, 160 * kSecond);
  submit_at(100 * kSecond, 110 * kSecond);
  core_.finish_turn(111 * kSecond);
  EXPECT_EQ(sinks_[1]->reject, RejectReason::kDeadline);
  core_.finish_turn(140 * kSecond);
  EXPECT_EQ(sinks_[0]->finish_reason, FinishReason::kNone);
  join_at(150 * kSecond);
  answer_at(155 * kSecond);
  EXPECT_EQ(sinks_[0]->num_tokens, 1U);
  lose_at(200 * kSecond);
  core_.finish_turn(231 * kSecond);
  EXPECT_EQ(sinks_[0]->reject, RejectReason::kNoReplica) << "it has started: no deadline ends its wait any more";
}

TEST_F(EngineCoreTest, AReplicaOfAnotherModelIsNoReplica) {
  join_at(100 * kSecond);
  submit_at(100 * kSecond, {}, 1);
  submit_at(100 * kSecond, {}, 0);
  for (int i = 1; i < 30; ++i) answer_at((100 + i) * kSecond);
  EXPECT_EQ(sinks_[0]->finish_reason, FinishReason::kNone);
  EXPECT_EQ(sinks_[1]->finish_reason, FinishReason::kLength);
  core_.finish_turn(131 * kSecond);
  EXPECT_EQ(sinks_[0]->reject, RejectReason::kNoReplica);
}

// Its replica leaves; what it ran goes on elsewhere, from the tokens that were true.
TEST_F(EngineCoreTest, AWorkerThatSaysWhatCannotBeIsSentAway) {
  join_at(100 * kSecond);
  submit_at(100 * kSecond);
  StepResult lie = worker_->run(std::exchange(plans_, {}).at(0));
  lie.sequences.at(0).num_computed = 1 << 30;
  core_.take("worker", std::move(lie), 101 * kSecond);
  core_.finish_turn(101 * kSecond);
  EXPECT_TRUE(core_.cluster().replicas().empty());
  EXPECT_EQ(sinks_[0]->finish_reason, FinishReason::kNone);
  join_at(102 * kSecond);
  for (Time now = 103 * kSecond; !plans_.empty(); now += kSecond) answer_at(now);
  EXPECT_EQ(sinks_[0]->finish_reason, FinishReason::kLength);
  EXPECT_EQ(sinks_[0]->num_tokens, 2U);
}

}  // namespace
}  // namespace caudal
