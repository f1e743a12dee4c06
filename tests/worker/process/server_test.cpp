// The link thread keeps the contract of common/wire.h. The coordinator is a ROUTER of the test.
#include "worker/process/server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/worker/test_rank.h"
#include "worker/comm/local.h"

namespace caudal {
namespace {

using namespace std::chrono_literals;

// A worker of one rank against a coordinator that the test plays.
class Link : public testing::Test {
 protected:
  void start(ServerTiming timing = {}) {
    router_ = std::move(Socket::bind_router("tcp://127.0.0.1:0", {})).value();
    rank_.load();
    Register registration;
    registration.replica_key = "key";
    registration.info = rank_.runner->info();
    timing.beat = 20ms;
    server_ = std::make_unique<Server>(std::move(Socket::connect_dealer(router_->endpoint(), {})).value(), registration,
                                       timing, rank_.queues, stop_);
    server_->start([] {});
    step_thread_ = std::thread([this] { exit_code_ = server_->finish(rank_.loop->run()); });
  }
  void TearDown() override {
    if (step_thread_.joinable()) step_thread_.join();
  }

  // The next message of the wanted kind; others are passed over.
  template <typename T>
  T receive() {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (std::chrono::steady_clock::now() < deadline) {
      router_->wait(10ms, nullptr);
      while (std::optional<Socket::Message> message = router_->receive()) {
        peer_ = message->peer;
        const FromWorker decoded = decode_from_worker(message->body).value();
        if (std::holds_alternative<T>(decoded)) return std::get<T>(decoded);
      }
    }
    ADD_FAILURE() << "nothing came";
    return {};
  }
  void send(const ToWorker& message) { router_->send(peer_, encode(message)); }
  int exit_code() {
    step_thread_.join();
    return exit_code_;
  }

  TestRank rank_{std::move(make_local_group(1).front())};
  std::atomic<bool> stop_{false};
  std::unique_ptr<Socket> router_;
  std::unique_ptr<Server> server_;
  std::thread step_thread_;
  std::string peer_;
  std::atomic<int> exit_code_{-1};
};

TEST_F(Link, RegistersComputesAndShutsDown) {
  start();
  EXPECT_EQ(receive<Register>().info.num_blocks, 8);
  send(Welcome{3, 1});
  send(plan_of(2, 1));  // of an epoch that is over
  send(plan_of(3, 1));
  send(plan_of(3, 2));
  EXPECT_EQ(receive<StepResult>().step_id, 1U);
  EXPECT_EQ(receive<StepResult>().step_id, 2U);
  Beat beat = receive<Beat>();
  while (beat.busy) beat = receive<Beat>();
  EXPECT_EQ(beat.epoch, 3U);
  EXPECT_EQ(beat.steps_done, 2U);
  send(Shutdown{"done"});
  EXPECT_EQ(exit_code(), 0);
}

TEST_F(Link, RegistersAgainAndStartsOver) {
  start();
  const std::string key = receive<Register>().replica_key;
  send(Welcome{1, 1});
  send(plan_of(1, 1));
  const StepResult before = receive<StepResult>();
  send(RegisterAgain{});
  EXPECT_EQ(receive<Register>().replica_key, key);
  send(Welcome{9, 2});
  send(plan_of(9, 1));
  const StepResult after = receive<StepResult>();
  EXPECT_EQ(after.epoch, 9U);
  EXPECT_EQ(after.sequences.at(0).tokens, before.sequences.at(0).tokens);
  send(Shutdown{"done"});
  EXPECT_EQ(exit_code(), 0);
}

TEST_F(Link, RefusedEnds) {
  start();
  receive<Register>();
  send(Refused{"another model"});
  EXPECT_EQ(exit_code(), kExitRefused);
  EXPECT_EQ(server_->refusal(), "refused by the coordinator: another model");
}

TEST_F(Link, SilenceEndsTheLease) {
  ServerTiming timing;
  timing.lease = 300ms;
  start(timing);
  receive<Register>();
  send(Welcome{1, 1});
  for (int i = 0; i < 5; ++i) {  // beats renew it
    std::this_thread::sleep_for(100ms);
    send(LeaseBeat{1});
  }
  EXPECT_EQ(exit_code_.load(), -1);
  EXPECT_EQ(exit_code(), kExitLeaseLost);
}

TEST_F(Link, NoCoordinatorEnds) {
  ServerTiming timing;
  timing.join_timeout = 200ms;
  start(timing);
  EXPECT_EQ(exit_code(), kExitNoCoordinator);
  EXPECT_NE(server_->refusal().find("did not answer in 200 ms"), std::string::npos);
}

TEST_F(Link, StopSignalSaysGoodbye) {
  start();
  receive<Register>();
  send(Welcome{4, 1});
  stop_ = true;
  receive<Failed>();
  EXPECT_EQ(exit_code(), 0);
}

TEST_F(Link, AFailedStepIsToldBeforeTheEnd) {
  start();
  receive<Register>();
  send(Welcome{1, 1});
  send(plan_of(1, 5));
  EXPECT_NE(receive<Failed>().reason.find("step 5"), std::string::npos);
  EXPECT_EQ(exit_code(), kExitOutOfStep);
}

}  // namespace
}  // namespace caudal
