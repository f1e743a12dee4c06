// Step loops of two ranks on the stand-in for CUDA, over its NCCL: the second of two plans is submitted on all ranks
// before the first is collected, or on none, however plans reach them; and ranks that disagree or are lost are noticed
// while a step is in flight.
#include <gmock/gmock.h>

#include <random>
#include <thread>

#include "kernels/cuda/emulation/fake/device.h"
#include "tests/worker/device_ranks.h"
#include "tests/worker/test_rank.h"
#include "worker/comm/local.h"

namespace caudal {
namespace {

using namespace std::chrono_literals;

constexpr StepId kSteps = 10;

class GroupOverlap : public testing::Test {
 protected:
  void SetUp() override {
    fake::reset({});
    make_ranks(HostExchange::kDeadline);
  }
  void TearDown() override {
    join();
    ranks_.clear();
    fake::reset({});
  }

  void make_ranks(std::chrono::milliseconds deadline) {
    join();
    ranks_.clear();
    for (std::unique_ptr<Communicator>& local : make_local_group(2, deadline))
      ranks_.push_back(std::make_unique<TestRank>(std::move(local), "simt"));
  }

  // Runs the ranks' loops on threads of their own, rank 1 until its loop ends and then `leave`.
  void start(const std::function<void(TestRank&)>& leave = {}) {
    for (std::unique_ptr<TestRank>& rank : ranks_) {
      threads_.emplace_back([&rank = *rank, leave] {
        rank.group = over_nccl(*rank.backend, std::move(rank.group));
        rank.load();
        rank.exit_code = rank.loop->run();
        if (leave && rank.group->rank() == 1) leave(rank);
        rank.backend
            ->synchronize();  // the other may need what is still queued: an emulated stream runs when waited for
      });
    }
  }
  void join() {
    for (const auto& rank : ranks_) rank->queues.plans.close();
    threads_.clear();
  }

  void begin_epoch(Epoch epoch) {
    for (const auto& rank : ranks_) rank->queues.epoch = epoch;
  }
  void push(StepPlan plan) {
    for (const auto& rank : ranks_) rank->queues.plans.push(StepPlan(plan));
  }
  void await_step(StepId step) const {
    while (ranks_[0]->queues.steps_done < step) std::this_thread::sleep_for(100us);
  }
  std::vector<FromWorker> answers() const { return ranks_[0]->queues.answers.drain_for(0ms); }

  // Step `step` of two sequences, told what comes out with log-probabilities. The first ends at a token that nobody
  // knows before a step has told; plans that are on their way compute it further.
  StepPlan plan(StepId step) const {
    StepPlan plan = plan_of(1, step);
    if (step == 1) {
      plan.new_sequences.push_back(plan.new_sequences[0]);
      plan.new_sequences[1].slot = 1;
      plan.new_sequences[1].sequence_id = 1;
      plan.new_sequences[1].blocks = {3, 4};
      plan.new_sequences[1].params.sampling.temperature = 0.9F;
      plan.new_sequences[1].params.sampling.num_logprobs = 2;
      plan.new_sequences[0].params.sampling.num_logprobs = 1;
      if (stop_token_) plan.new_sequences[0].params.stop.stop_token_ids = {*stop_token_};
    }
    plan.scheduled.push_back({1, plan.scheduled[0].num_tokens, {}, 0});
    return plan;
  }

  // What the ranks answer when each plan comes after the answer to the one before.
  std::vector<FromWorker> one_by_one() {
    begin_epoch(1);
    start();
    for (StepId step = 1; step <= kSteps; ++step) {
      push(plan(step));
      await_step(step);
    }
    join();
    EXPECT_EQ(ranks_[0]->loop->num_overlaps(), 0U);
    EXPECT_EQ(ranks_[1]->loop->num_overlaps(), 0U);
    std::vector<FromWorker> plain = answers();
    make_ranks(HostExchange::kDeadline);
    begin_epoch(1);
    return plain;
  }

  static void expect_same_answers(const std::vector<FromWorker>& some, const std::vector<FromWorker>& others) {
    ASSERT_EQ(some.size(), others.size());
    for (std::size_t i = 0; i < some.size(); ++i) {
      const StepResult &a = std::get<StepResult>(some[i]), &b = std::get<StepResult>(others[i]);
      EXPECT_EQ(a.step_id, b.step_id);
      ASSERT_EQ(a.sequences.size(), b.sequences.size()) << i;
      for (std::size_t s = 0; s < a.sequences.size(); ++s) expect_same_answer(a.sequences[s], b.sequences[s], i);
    }
  }

  std::optional<TokenId> stop_token_;
  std::vector<std::unique_ptr<TestRank>> ranks_;
  std::vector<std::jthread> threads_;
};

TEST_F(GroupOverlap, StepsOverlapAndTellTheSame) {
  const std::vector<FromWorker> plain = one_by_one();
  for (StepId step = 1; step <= kSteps; ++step) push(plan(step));
  start();
  join();
  EXPECT_EQ(ranks_[0]->exit_code, 0);
  EXPECT_EQ(ranks_[1]->exit_code, 0);
  EXPECT_EQ(ranks_[0]->loop->num_overlaps(), kSteps - 1);
  EXPECT_EQ(ranks_[1]->loop->num_overlaps(), kSteps - 1);
  expect_same_answers(answers(), plain);
}

// A rank that has collected a step knows that a sequence has ended, the other does not: they must not compute the next
// step each with its own knowledge.
TEST_F(GroupOverlap, RanksDecideAlikeWheneverPlansReachThem) {
  const std::vector<FromWorker> first = one_by_one();
  stop_token_ = std::get<StepResult>(first.at(5)).sequences.at(0).tokens.at(0);
  const std::vector<FromWorker> plain = one_by_one();
  for (std::uint32_t seed = 1; seed <= 3; ++seed) {
    make_ranks(HostExchange::kDeadline);
    begin_epoch(1);
    start();
    std::mt19937 random(seed);
    for (StepId step = 1; step <= kSteps; ++step) {
      if (step > 2) await_step(step - 2);
      const std::size_t early = random() % 2;
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
      ranks_[early]->queues.plans.push(plan(step));
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
      ranks_[1 - early]->queues.plans.push(plan(step));
    }
    join();
    EXPECT_EQ(ranks_[0]->loop->num_overlaps(), ranks_[1]->loop->num_overlaps());
    expect_same_answers(answers(), plain);
  }
}

TEST_F(GroupOverlap, DifferentStepsEndTheReplica) {
  begin_epoch(1);
  for (StepId step = 1; step <= 3; ++step) push(plan(step));
  ranks_[0]->queues.plans.push(plan(4));
  ranks_[1]->queues.plans.push(plan(5));
  start();
  join();
  for (const auto& rank : ranks_) {
    EXPECT_EQ(rank->loop->num_overlaps(), 2U);
    EXPECT_EQ(rank->exit_code, kExitOutOfStep);
  }
  EXPECT_EQ(std::get<Failed>(answers().back()).reason, "ranks hold plans of different steps");
}

// Plan 4 of the old epoch reaches rank 0 alone; its step before is forgotten where it is.
TEST_F(GroupOverlap, ANewEpochEndsWhatIsInFlight) {
  begin_epoch(1);
  for (StepId step = 1; step <= 3; ++step) push(plan(step));
  ranks_[0]->queues.plans.push(plan(4));
  start();
  await_step(2);
  while (ranks_[0]->queues.plans.size() > 0) std::this_thread::sleep_for(100us);
  begin_epoch(2);
  StepPlan fresh = plan(1);
  fresh.epoch = 2;
  push(fresh);
  join();
  const std::vector<FromWorker> all = answers();
  const StepResult &first = std::get<StepResult>(all.front()), &last = std::get<StepResult>(all.back());
  EXPECT_EQ(last.epoch, 2U);
  EXPECT_EQ(last.sequences.at(0).tokens, first.sequences.at(0).tokens);
  EXPECT_EQ(ranks_[0]->exit_code, 0);
  EXPECT_EQ(ranks_[1]->exit_code, 0);
}

TEST_F(GroupOverlap, ARankThatDoesNotComeIsNamed) {
  make_ranks(2s);
  begin_epoch(1);
  for (StepId step = 1; step <= 2; ++step) push(plan(step));
  ranks_[0]->queues.plans.push(plan(3));
  start();
  join();
  EXPECT_EQ(ranks_[0]->exit_code, kExitStepFailed);
  EXPECT_THAT(std::get<Failed>(answers().back()).reason, testing::HasSubstr("rank 1 of the replica is lost"));
}

// Its device fails and it leaves in a hurry: the other learns it at once from NCCL, in the middle of its wait.
TEST_F(GroupOverlap, ARankThatFailsIsNoticedByTheOther) {
  begin_epoch(1);
  for (StepId step = 1; step <= 2; ++step) push(plan(step));
  ranks_[0]->queues.plans.push(plan(3));
  start([](TestRank& rank) {
    static_cast<cuda::CudaBackend&>(*rank.backend).context().fail("planted");
    rank.loop.reset();
    rank.runner.reset();
    rank.group.reset();
  });
  join();
  EXPECT_EQ(ranks_[0]->exit_code, kExitStepFailed);
  EXPECT_THAT(std::get<Failed>(answers().back()).reason, testing::HasSubstr("NCCL: a rank of the replica is lost"));
}

}  // namespace
}  // namespace caudal
