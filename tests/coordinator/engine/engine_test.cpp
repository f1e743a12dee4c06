// The engine over real ZeroMQ links, with simulated workers that speak the control protocol: tokens come
// back right, through joins, deaths, stale messages and a restart of the coordinator.
#include "coordinator/engine/engine.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <optional>
#include <thread>

#include "tests/sim/simulated_worker.h"

namespace caudal {
namespace {

using namespace std::chrono_literals;

ReplicaInfo small_replica(std::int32_t tensor_parallel_size) {
  return {.num_blocks = 64,
          .max_num_sequences = 8,
          .max_tokens_per_step = 64,
          .max_context_tokens = 256,
          .vocab_size = sim::ToyModel::kVocabulary,
          .topology = {.tensor = tensor_parallel_size},
          .model_digest = "toy"};
}

// One rank in a thread: registers, beats, runs plans, answers (rank 0 only).
class FakeRank {
 public:
  enum class First { kRegister, kBeat };

  FakeRank(std::string endpoint, std::string key, std::uint32_t rank, std::uint32_t size,
           First first = First::kRegister)
      : endpoint_(std::move(endpoint)), key_(std::move(key)), rank_(rank), size_(size), first_(first) {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  void hang() { hung_ = true; }
  bool was_shut_down() const { return shut_down_; }
  // Of every plan received, in order.
  std::uint64_t plan_digest() const { return plan_digest_; }

 private:
  void run(const std::stop_token& stop) {
    auto connected = Socket::connect_dealer(endpoint_, {});
    ASSERT_TRUE(connected.ok());
    socket_ = std::move(connected).value();
    if (first_ == First::kRegister) send_registration();
    auto next_beat = std::chrono::steady_clock::now();
    while (!stop.stop_requested() && !shut_down_) {
      socket_->wait(5ms, nullptr);
      while (auto message = socket_->receive()) take(decode_to_worker(message->body));
      if (std::chrono::steady_clock::now() >= next_beat) {
        send(Beat{.epoch = epoch_, .steps_done = 0, .busy = false});
        next_beat += 20ms;
      }
    }
  }

  void take(const Result<ToWorker>& decoded) {
    ASSERT_TRUE(decoded.ok());
    if (const auto* welcome = std::get_if<Welcome>(&decoded.value())) {
      epoch_ = welcome->epoch;
      worker_.emplace(small_replica(static_cast<std::int32_t>(size_)));
    } else if (const auto* plan = std::get_if<StepPlan>(&decoded.value())) {
      if (hung_ || plan->epoch != epoch_) return;
      for (const char byte : encode(decoded.value()))
        plan_digest_ = sim::mix(plan_digest_, static_cast<unsigned char>(byte));
      const StepResult result = worker_->run(*plan);
      if (rank_ != 0) return;
      send(result);
      send(result);  // a duplicate must be dropped
    } else if (std::holds_alternative<RegisterAgain>(decoded.value())) {
      send_registration();
    } else if (std::holds_alternative<Shutdown>(decoded.value())) {
      shut_down_ = true;
    }
  }

  void send_registration() {
    send(Register{.replica_key = key_,
                  .rank = rank_,
                  .info = small_replica(static_cast<std::int32_t>(size_)),
                  .build_version = "test"});
  }
  void send(const FromWorker& message) { socket_->send("", encode(message)); }

  const std::string endpoint_;
  const std::string key_;
  const std::uint32_t rank_;
  const std::uint32_t size_;
  const First first_;
  std::unique_ptr<Socket> socket_;
  std::optional<sim::SimulatedWorker> worker_;
  Epoch epoch_ = 0;
  std::atomic<std::uint64_t> plan_digest_ = 0;
  std::atomic<bool> hung_ = false;
  std::atomic<bool> shut_down_ = false;
  std::jthread thread_;
};

struct Answer {
  std::vector<TokenId> tokens;
  FinishReason finish_reason = FinishReason::kNone;
  RejectReason reject = RejectReason::kNone;
};

class Sink : public TokenSink {
 public:
  explicit Sink(std::int32_t num_sequences) : events_(4096), num_sequences_(num_sequences) {}
  void on_event(TokenEvent event) override { events_.push(std::move(event)); }

  // All sequences, or what came within the limit.
  std::vector<Answer> wait(std::chrono::milliseconds limit = 20s) {
    std::vector<Answer> answers(static_cast<std::size_t>(num_sequences_));
    const auto end = std::chrono::steady_clock::now() + limit;
    for (std::int32_t left = num_sequences_; left > 0 && std::chrono::steady_clock::now() < end;) {
      auto event = events_.pop_for(100ms);
      if (!event) continue;
      Answer& answer = answers[static_cast<std::size_t>(event->sequence_index)];
      EXPECT_EQ(answer.finish_reason, FinishReason::kNone) << "an event after the last one";
      answer.tokens.insert(answer.tokens.end(), event->tokens.begin(), event->tokens.end());
      answer.finish_reason = event->finish_reason;
      answer.reject = event->reject;
      if (event->finish_reason != FinishReason::kNone) --left;
    }
    return answers;
  }

 private:
  Queue<TokenEvent> events_;
  const std::int32_t num_sequences_;
};

EngineConfig test_config(Time lease_us = 2'000'000) {
  return {.scheduler = {},
          .cluster = {.lease_us = lease_us, .step_timeout_us = 500'000, .beat_interval_us = 50'000, .first_epoch = 1},
          .no_replica_wait_us = 1'500'000,
          .patience_us = 300'000};
}

class EngineTest : public testing::Test {
 protected:
  void start(const std::string& endpoint = "tcp://127.0.0.1:0", Time lease_us = 2'000'000) {
    auto link = WorkerLink::bind(endpoint, {.linger = 200ms});
    ASSERT_TRUE(link.ok()) << link.error().message;
    engine_ = std::make_unique<Engine>(test_config(lease_us), std::move(link).value(), metrics_);
  }

  std::unique_ptr<FakeRank> rank(const std::string& key, std::uint32_t rank, std::uint32_t size,
                                 FakeRank::First first = FakeRank::First::kRegister) {
    return std::make_unique<FakeRank>(engine_->control_endpoint(), key, rank, size, first);
  }

  bool wait_for(const std::function<bool()>& condition, std::chrono::milliseconds limit = 10s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(2ms);
    return condition();
  }

  static Time now() {
    const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::microseconds>(since_start).count();
  }

  static Request request(unsigned seed, std::int32_t num_sequences = 1) {
    Request made;
    made.arrival = now();
    for (unsigned i = 0; i < 3 + seed % 40; ++i) {
      made.prompt.push_back(static_cast<TokenId>(sim::mix(seed, i) % sim::ToyModel::kVocabulary));
    }
    made.params.sampling.seed = seed;
    made.params.stop = {.max_tokens = static_cast<std::int32_t>(1 + seed % 50), .min_tokens = 0, .stop_token_ids = {3}};
    made.num_sequences = num_sequences;
    return made;
  }

  static void expect_right(const Request& asked, const std::vector<Answer>& answers) {
    for (std::size_t i = 0; i < answers.size(); ++i) {
      const auto expected = sim::expected_output(asked, static_cast<std::int32_t>(i), 256);
      EXPECT_EQ(answers[i].finish_reason, expected.finish_reason);
      EXPECT_EQ(answers[i].tokens, expected.tokens);
    }
  }

  Metrics metrics_{"toy"};
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, ServesManyRequestsOverTwoReplicasOfTwoRanks) {
  start();
  EXPECT_FALSE(engine_->status().ready);
  auto a0 = rank("a", 0, 2), a1 = rank("a", 1, 2), b0 = rank("b", 0, 2), b1 = rank("b", 1, 2);
  ASSERT_TRUE(wait_for([&] { return engine_->status().num_replicas == 2; }));
  EXPECT_TRUE(engine_->status().ready);
  EXPECT_EQ(engine_->max_context_tokens(0), 256);
  std::vector<std::pair<Request, std::shared_ptr<Sink>>> asked;
  for (unsigned seed = 1; seed <= 60; ++seed) {
    Request made = request(seed, seed % 7 == 0 ? 3 : 1);
    auto sink = std::make_shared<Sink>(made.num_sequences);
    ASSERT_TRUE(engine_->submit(made, sink).ok());
    asked.emplace_back(std::move(made), std::move(sink));
  }
  for (auto& [made, sink] : asked) expect_right(made, sink->wait());
  // All ranks of a replica got the same plans; rank 1 may still be reading the last.
  EXPECT_TRUE(wait_for([&] { return a0->plan_digest() == a1->plan_digest(); }));
  EXPECT_TRUE(wait_for([&] { return b0->plan_digest() == b1->plan_digest(); }));
  EXPECT_NE(a0->plan_digest(), b0->plan_digest());
  EXPECT_NE(metrics_.text().find("caudal:stale_messages_total"), std::string::npos);
}

TEST_F(EngineTest, RequestsSurviveTheDeathOfTheirReplica) {
  start();
  auto victim = rank("a", 0, 1);
  ASSERT_TRUE(wait_for([&] { return engine_->status().ready; }));
  victim->hang();
  std::vector<std::pair<Request, std::shared_ptr<Sink>>> asked;
  for (unsigned seed = 100; seed < 120; ++seed) {
    Request made = request(seed);
    auto sink = std::make_shared<Sink>(1);
    ASSERT_TRUE(engine_->submit(made, sink).ok());
    asked.emplace_back(std::move(made), std::move(sink));
  }
  EXPECT_TRUE(wait_for([&] { return !engine_->status().ready; })) << "a stuck step must show in /health";
  EXPECT_TRUE(wait_for([&] { return victim->was_shut_down(); }));
  auto spare = rank("b", 0, 1);
  for (auto& [made, sink] : asked) expect_right(made, sink->wait());
}

TEST_F(EngineTest, AWorkerMayBeThereBeforeItsCoordinator) {
  start();
  const std::string endpoint = engine_->control_endpoint();
  engine_.reset();
  FakeRank early(endpoint, "a", 0, 1);
  std::this_thread::sleep_for(100ms);
  start(endpoint);
  ASSERT_TRUE(wait_for([&] { return engine_->status().ready; }));
}

// As after a restart of the coordinator: a link that beats but is not known is asked to register again.
TEST_F(EngineTest, ARunningWorkerIsTakenBack) {
  start();
  auto worker = rank("a", 0, 1, FakeRank::First::kBeat);
  ASSERT_TRUE(wait_for([&] { return engine_->status().ready; }));
  Request made = request(7);
  auto sink = std::make_shared<Sink>(1);
  ASSERT_TRUE(engine_->submit(made, sink).ok());
  expect_right(made, sink->wait());
}

TEST_F(EngineTest, CancelFreesAndNothingFollows) {
  start();
  auto worker = rank("a", 0, 1);
  ASSERT_TRUE(wait_for([&] { return engine_->status().ready; }));
  worker->hang();
  auto sink = std::make_shared<Sink>(1);
  const auto id = engine_->submit(request(5), sink);
  ASSERT_TRUE(id.ok());
  engine_->cancel(id.value());
  engine_->cancel(12345);
  EXPECT_TRUE(wait_for([&] { return engine_->status().num_running == 0 && engine_->status().num_waiting == 0; }));
  EXPECT_EQ(sink->wait(50ms)[0].finish_reason, FinishReason::kNone);
}

TEST_F(EngineTest, CancellingOneSequenceLeavesTheOther) {
  start();
  auto sink = std::make_shared<Sink>(2);
  const auto id = engine_->submit(request(5, 2), sink);
  ASSERT_TRUE(id.ok());
  engine_->cancel(id.value(), 0);
  engine_->cancel(id.value(), 0);
  engine_->cancel(id.value(), 2);
  ASSERT_TRUE(wait_for([&] { return engine_->status().num_waiting == 1; }));
  auto worker = rank("a", 0, 1);
  EXPECT_TRUE(wait_for([&] { return engine_->status().ready && engine_->status().num_waiting == 0; }));
  EXPECT_TRUE(wait_for([&] { return engine_->status().num_running == 0; }));
  const auto answers = sink->wait(50ms);
  EXPECT_EQ(answers[0].finish_reason, FinishReason::kNone) << "nothing follows a cancel";
  EXPECT_NE(answers[1].finish_reason, FinishReason::kNone);
  EXPECT_FALSE(answers[1].tokens.empty());
}

TEST_F(EngineTest, WhatCanNeverFitIsRefusedAndTheRestServed) {
  start();
  auto worker = rank("a", 0, 1);
  ASSERT_TRUE(wait_for([&] { return engine_->status().ready; }));
  Request large = request(9);
  large.prompt.assign(300, 1);
  auto refused = std::make_shared<Sink>(1);
  ASSERT_TRUE(engine_->submit(large, refused).ok());
  EXPECT_EQ(refused->wait()[0].reject, RejectReason::kTooLong);
  Request fine = request(10);
  auto sink = std::make_shared<Sink>(1);
  ASSERT_TRUE(engine_->submit(fine, sink).ok());
  expect_right(fine, sink->wait());
}

TEST_F(EngineTest, TheLoadReportSaysWhatHappened) {
  start();
  auto worker = rank("a", 0, 1);
  ASSERT_TRUE(wait_for([&] { return engine_->status().ready; }));
  std::vector<std::shared_ptr<Sink>> sinks;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    sinks.push_back(std::make_shared<Sink>(1));
    ASSERT_TRUE(engine_->submit(request(seed), sinks.back()).ok());
  }
  for (const auto& sink : sinks) sink->wait();
  Request late = request(5);
  late.deadline = 1;
  auto refused = std::make_shared<Sink>(1);
  ASSERT_TRUE(engine_->submit(late, refused).ok());
  EXPECT_EQ(refused->wait()[0].reject, RejectReason::kDeadline);
  const auto num_refused = [&] {
    return engine_->load()->num_refused[static_cast<std::size_t>(RejectReason::kDeadline)];
  };
  EXPECT_TRUE(wait_for([&] { return num_refused() == 1; }));
  const auto report = engine_->load();
  EXPECT_TRUE(report->ready);
  EXPECT_GT(report->queue_wait.count, 0);
  EXPECT_GE(report->queue_wait.p99_us, report->queue_wait.p50_us);
  ASSERT_EQ(report->replicas.size(), 1U);
  EXPECT_EQ(report->replicas[0].stats.num_blocks, 64);
  ASSERT_EQ(report->tenants.size(), 1U);
  EXPECT_GT(report->tenants[0].num_generated_tokens, 0U);
  EXPECT_NE(metrics_.text().find("caudal:sequences_refused_total{model_name=\"toy\",reason=\"deadline\"} 1"),
            std::string::npos);
}

TEST_F(EngineTest, WithoutAReplicaARequestWaitsOnlySoLong) {
  start();
  auto sink = std::make_shared<Sink>(1);
  ASSERT_TRUE(engine_->submit(request(5), sink).ok());
  const Answer answer = sink->wait()[0];
  EXPECT_EQ(answer.finish_reason, FinishReason::kError);
  EXPECT_EQ(answer.reject, RejectReason::kNoReplica);
}

TEST_F(EngineTest, StoppingEndsEverySequenceOnce) {
  start();
  auto sink = std::make_shared<Sink>(2);
  ASSERT_TRUE(engine_->submit(request(5, 2), sink).ok());
  ASSERT_TRUE(wait_for([&] { return engine_->status().num_waiting == 2; }));
  engine_.reset();
  for (const Answer& answer : sink->wait()) EXPECT_EQ(answer.finish_reason, FinishReason::kAbort);
}

}  // namespace
}  // namespace caudal
