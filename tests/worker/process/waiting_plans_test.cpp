// Plans in which nothing is scheduled: they wait for the end of a transfer. Ranks are threads, and each one's transfers
// end when the test says so.
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <thread>

#include "tests/worker/late_copies.h"
#include "tests/worker/test_rank.h"
#include "worker/comm/local.h"

namespace caudal {
namespace {

using namespace std::chrono_literals;

constexpr auto kLong = 30s;      // something has to come
constexpr auto kAWhile = 200ms;  // nothing may come

class WaitingPlansTest : public testing::Test {
 protected:
  void start(int num_ranks) {
    for (auto& group : make_local_group(num_ranks)) {
      TestRank& rank = *ranks_.emplace_back(std::make_unique<TestRank>(std::move(group)));
      rank.backend = std::make_unique<LateCopiesBackend>(std::move(rank.backend), gates_[ranks_.size() - 1]);
      rank.queues.epoch = 1;
    }
    for (const auto& rank : ranks_) {
      threads_.emplace_back([&rank = *rank] {
        rank.load();
        rank.exit_code = rank.loop->run();
      });
    }
  }
  void TearDown() override {
    for (CopyGate& gate : gates_) gate.open(1000);
    for (const auto& rank : ranks_) rank->queues.plans.close();
    threads_.clear();
    for (const auto& rank : ranks_) EXPECT_EQ(rank->exit_code, 0);
  }

  // To all ranks, as the next one of their epoch.
  void send(StepPlan plan) {
    plan.epoch = 1;
    plan.step_id = ++last_step_;
    for (const auto& rank : ranks_) rank->queues.plans.push(StepPlan(plan));
  }
  bool comes_nothing() { return !ranks_.front()->queues.answers.pop_for(kAWhile); }
  StepResult answer() {
    std::optional<FromWorker> answer = ranks_.front()->queues.answers.pop_for(kLong);
    if (!answer || !std::holds_alternative<StepResult>(*answer)) {
      ADD_FAILURE() << "no result";
      return {};
    }
    return std::get<StepResult>(std::move(*answer));
  }

  // A sequence of so many tokens, of which the first ones are computed.
  static NewSequence sequence(SlotId slot, TokenId first_token, std::vector<BlockId> blocks) {
    NewSequence sequence{.slot = slot, .sequence_id = static_cast<SequenceId>(slot.value()) + 1};
    sequence.tokens.resize(40);
    std::iota(sequence.tokens.begin(), sequence.tokens.end(), first_token);
    sequence.num_prompt_tokens = 40;
    sequence.blocks = std::move(blocks);
    sequence.params.sampling.temperature = 0.0F;
    sequence.params.sampling.num_logprobs = 5;
    sequence.params.stop.max_tokens = 20;
    return sequence;
  }
  static StepPlan entering(const NewSequence& sequence) {
    StepPlan plan;
    plan.new_sequences = {sequence};
    plan.scheduled = {{sequence.slot, static_cast<std::int32_t>(std::ssize(sequence.tokens)) - sequence.num_computed}};
    return plan;
  }
  static StepPlan going_on(SlotId slot) {
    StepPlan plan;
    plan.scheduled = {{slot, 1}};
    return plan;
  }
  static StepPlan saving(TransferId id, std::vector<CopyToHost> copies) {
    StepPlan plan;
    plan.transfers_to_host = {{id, std::move(copies)}};
    return plan;
  }

  std::array<CopyGate, 2> gates_;  // by rank
  std::vector<std::unique_ptr<TestRank>> ranks_;
  std::vector<std::jthread> threads_;
  StepId last_step_ = 0;
};

TEST_F(WaitingPlansTest, AnIdleReplicaTellsTheEndWithoutAnotherPlan) {
  start(1);
  send(entering(sequence(0, 5, {1, 2, 3})));
  EXPECT_EQ(answer().sequences.size(), 1U);
  send(saving(1, {{1, 0}, {2, 1}}));
  EXPECT_TRUE(comes_nothing()) << "the blocks are on their way";
  gates_[0].open(1);
  const StepResult ended = answer();
  EXPECT_EQ(ended.step_id, 2U);
  EXPECT_EQ(ended.ended_transfers, std::vector<TransferId>{1});
  EXPECT_TRUE(ended.sequences.empty());
}

TEST_F(WaitingPlansTest, OneOfSeveralIsEnoughAndTheRestWaitsOn) {
  start(1);
  send(saving(1, {{1, 0}}));
  StepPlan next = saving(2, {{2, 1}});
  next.transfers_to_host.push_back({3, {{3, 2}}});
  send(next);
  EXPECT_TRUE(answer().ended_transfers.empty()) << "the next plan is there";
  EXPECT_TRUE(comes_nothing());
  gates_[0].open(2);
  const std::vector<TransferId> first_ended = answer().ended_transfers;
  ASSERT_FALSE(first_ended.empty());
  EXPECT_EQ(first_ended, (std::vector<TransferId>{1, 2}));
  StepPlan confirming;
  confirming.confirmed_transfers = first_ended;
  send(confirming);
  EXPECT_TRUE(comes_nothing()) << "the third is on its way";
  gates_[0].open(3);
  EXPECT_EQ(answer().ended_transfers, std::vector<TransferId>{3});
}

TEST_F(WaitingPlansTest, TheNextPlanNeverWaitsBehindACopy) {
  start(1);
  send(entering(sequence(0, 5, {1, 2, 3})));
  answer();
  send(saving(1, {{1, 0}, {2, 1}}));
  EXPECT_TRUE(comes_nothing());
  send(entering(sequence(1, 60, {4, 5, 6})));
  const StepResult cut_short = answer();
  EXPECT_EQ(cut_short.step_id, 2U);
  EXPECT_TRUE(cut_short.ended_transfers.empty());
  const StepResult computed = answer();
  EXPECT_EQ(computed.step_id, 3U);
  EXPECT_TRUE(computed.ended_transfers.empty()) << "still under way";
  ASSERT_EQ(computed.sequences.size(), 1U);
  EXPECT_EQ(computed.sequences[0].tokens.size(), 1U);

  gates_[0].open(1);
  send(going_on(1));
  EXPECT_EQ(answer().ended_transfers, std::vector<TransferId>{1});
  send(going_on(1));
  EXPECT_TRUE(answer().ended_transfers.empty()) << "told once";
}

// What a sequence says with and without a stay of its blocks in host memory. Meanwhile another one uses its blocks.
TEST_F(WaitingPlansTest, ALaterRankWaitsForWhatThePlanConfirms) {
  start(2);
  gates_[0].open(1000);
  send(entering(sequence(0, 5, {1, 2, 3})));
  const StepResult first = answer();
  send(going_on(0));
  const StepResult expected = answer();

  StepPlan out = saving(1, {{1, 5}, {2, 0}});
  out.released = {0};
  send(out);
  EXPECT_EQ(answer().ended_transfers, std::vector<TransferId>{1}) << "rank 0 has copied its part";
  StepPlan reusing = entering(sequence(1, 90, {2, 1, 3}));
  reusing.confirmed_transfers = {1};
  send(reusing);
  EXPECT_TRUE(comes_nothing()) << "rank 1 must not write these blocks before it has copied them";
  gates_[1].open(1);
  EXPECT_EQ(answer().sequences.size(), 1U);

  NewSequence again = sequence(0, 5, {7, 4, 6});
  again.tokens.push_back(first.sequences.at(0).tokens.at(0));
  again.num_computed = 32;
  StepPlan in;
  in.released = {1};
  in.new_sequences = {again};
  in.transfers_from_host = {{2, {{5, 7}, {0, 4}}}};
  send(in);
  EXPECT_EQ(answer().ended_transfers, std::vector<TransferId>{2});
  StepPlan on = going_on(0);
  on.confirmed_transfers = {2};
  on.scheduled[0].num_tokens = 9;
  send(on);
  EXPECT_TRUE(comes_nothing()) << "rank 1 must not read its blocks before they are there";
  gates_[1].open(2);
  const StepResult back = answer();
  ASSERT_EQ(back.sequences.size(), 1U);
  EXPECT_EQ(back.sequences[0].tokens, expected.sequences.at(0).tokens);
  ASSERT_EQ(back.sequences[0].logprobs.size(), 1U);
  const auto& logprobs = back.sequences[0].logprobs[0];
  const auto& expected_logprobs = expected.sequences.at(0).logprobs.at(0);
  ASSERT_EQ(logprobs.size(), expected_logprobs.size());
  for (std::size_t i = 0; i < logprobs.size(); ++i) {
    EXPECT_EQ(logprobs[i].token, expected_logprobs[i].token);
    EXPECT_EQ(logprobs[i].logprob, expected_logprobs[i].logprob) << "the same bits";
  }
}

}  // namespace
}  // namespace caudal
