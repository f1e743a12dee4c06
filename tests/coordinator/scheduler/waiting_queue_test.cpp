// WaitingQueue, Admission and Placement: who is next, does it fit, and where.
#include <gtest/gtest.h>

#include "coordinator/policy/queue_policy.h"
#include "coordinator/scheduler/placement.h"
#include "coordinator/scheduler/scheduler_config.h"
#include "coordinator/scheduler/waiting_queue.h"

namespace caudal {
namespace {

ReplicaInfo replica_of(std::int32_t num_blocks = 100) {
  return {.num_blocks = num_blocks,
          .max_num_sequences = 8,
          .max_tokens_per_step = 64,
          .max_context_tokens = 256,
          .model_digest = {}};
}

Demand demand(std::int32_t num_prompt, std::int32_t max_new = 16) { return {num_prompt, max_new, num_prompt, {}}; }

TEST(QueuePolicy, OrdersByPriorityThenArrival) {
  const EarliestDueFirst policy;
  Request early, late, urgent;
  early.arrival = 1;
  late.arrival = 2;
  urgent.arrival = 3;
  urgent.priority = -1;
  EXPECT_LT(policy.key(urgent, 3, true), policy.key(early, 1, true));
  EXPECT_LT(policy.key(early, 9, true), policy.key(late, 2, true));
  EXPECT_LT(policy.key(early, 1, true), policy.key(early, 2, true)) << "sequences of one request in their order";
}

TEST(WaitingQueue, OnlyWhatNeverStartedExpires) {
  Tenants tenants({});
  RequestState request;
  request.tenant = &tenants.enter("");
  request.request.deadline = 10;
  request.sequences.resize(2);
  for (std::size_t i = 0; i < 2; ++i) {
    request.sequences[i].request = &request;
    request.sequences[i].id = request.sequences[i].key.sequence_id = i + 1;
  }
  request.sequences[0].started = true;
  WaitingQueue queue(tenants, 3);
  for (Sequence& sequence : request.sequences) queue.insert(sequence);
  EXPECT_EQ(queue.find_alarm(10), nullptr) << "the deadline itself is still in time";
  EXPECT_EQ(queue.find_alarm(11), &request.sequences[1]);
  queue.erase(request.sequences[1]);
  EXPECT_EQ(queue.find_alarm(11), nullptr);
  EXPECT_EQ(queue.size(), 1);
}

TEST(Admission, KnowsWhatCanNeverFit) {
  EXPECT_TRUE(can_ever_fit(replica_of(3), demand(32, 16)));
  EXPECT_FALSE(can_ever_fit(replica_of(3), demand(32, 17)));
  EXPECT_TRUE(can_ever_fit(replica_of(), demand(255)));
  EXPECT_FALSE(can_ever_fit(replica_of(), demand(256))) << "no room for a single new token";
  EXPECT_EQ(token_limit(replica_of(), demand(200, 1 << 30)), 256);
  EXPECT_EQ(token_limit(replica_of(), demand(200, 1)), 201);
}

TEST(Admission, TakesWholeSequencesWhileEverythingLasts) {
  const SchedulerConfig config;
  const ReplicaInfo small = replica_of(5);
  const ReplicaInfo large = replica_of();
  Admission blocks(config, small, {.num_running = 1, .num_free_blocks = 4, .num_tokens_left = 64});
  EXPECT_FALSE(blocks.admits(demand(64))) << "a block stays for the running one";
  ASSERT_TRUE(blocks.admits(demand(17)));
  blocks.take(demand(17));
  EXPECT_EQ(blocks.num_tokens(), 47);
  EXPECT_FALSE(blocks.admits(demand(1))) << "two free blocks, two running sequences";

  const Admission no_slot(config, large, {.num_running = 8, .num_free_blocks = 99, .num_tokens_left = 64});
  EXPECT_FALSE(no_slot.admits(demand(1)));
  const Admission no_tokens(config, large, {.num_running = 1, .num_free_blocks = 99, .num_tokens_left = 0});
  EXPECT_FALSE(no_tokens.admits(demand(1)));
}

TEST(Admission, CutsPromptsOnlyWhenItMay) {
  SchedulerConfig config;
  const ReplicaInfo info = replica_of();
  const Occupancy occupancy{.num_running = 0, .num_free_blocks = 99, .num_tokens_left = 40};
  EXPECT_EQ(Admission(config, info, occupancy).chunk(50), 40);
  config.chunked_prefill = false;
  EXPECT_EQ(Admission(config, info, occupancy).chunk(50), 0);
  EXPECT_EQ(Admission(config, info, occupancy).chunk(40), 40);
  EXPECT_EQ(Admission(config, info, occupancy).chunk(65), 40) << "no step could hold it whole";
}

TEST(Admission, CachedBlocksCostOnlyWhatNobodyHoldsYet) {
  const SchedulerConfig config;
  const ReplicaInfo info = replica_of();
  const Admission left(config, info, {.num_running = 0, .num_free_blocks = 2, .num_tokens_left = 64});
  Demand wanted = demand(64);
  EXPECT_FALSE(left.admits(wanted));
  wanted.cached = {.num_tokens = 48, .num_blocks = 3, .num_free = 2};
  EXPECT_EQ(wanted.num_uncached(), 16);
  EXPECT_FALSE(left.admits(wanted)) << "one new block, and two cached ones that are among the free ones";
  wanted.cached.num_free = 1;
  EXPECT_TRUE(left.admits(wanted));
}

// Replicas that run nothing for real: only what they say of themselves counts here.
class PlacementTest : public testing::Test {
 protected:
  PlacementTest() {
    for (ReplicaId id = 1; id <= 2; ++id) replicas_.emplace_back(index_, id, 1, replica_of());
    replicas_.emplace_back(index_, 3, 1, replica_of(2));
    sequence_.request = &request_;
  }

  // What the chosen one caches is of no interest here.
  ReplicaId place(const Demand& wanted) {
    sequence_.tokens.resize(static_cast<std::size_t>(wanted.num_tokens));
    Placement placement(cache_, config_);
    for (const Replica& one : replicas_) placement.add(one);
    const auto chosen = placement.choose(sequence_, wanted);
    return chosen ? chosen->candidate->replica->id : ReplicaId{0};
  }

  void run_on(Replica& replica, std::size_t num_sequences) { replica.running.assign(num_sequences, nullptr); }

  // As if a sequence of so many tokens had been computed there.
  void fill_cache(Replica& replica, std::int32_t num_tokens) {
    sequence_.tokens.resize(static_cast<std::size_t>(num_tokens));
    ASSERT_TRUE(replica.kv.grow(sequence_.residence.table, num_tokens));
    sequence_.residence.num_computed = num_tokens;
    cache_.publish(sequence_, replica);
    replica.kv.release(sequence_.residence.table);
    sequence_.residence = {};
  }

  const SchedulerConfig config_{};
  BlockIndex index_;
  const PrefixCache cache_{config_, index_};
  std::deque<Replica> replicas_;
  RequestState request_;
  Sequence sequence_;
};

TEST_F(PlacementTest, PrefersTheLeastLoadedThatHasRoom) {
  run_on(replicas_[0], 3);
  run_on(replicas_[1], 2);
  EXPECT_EQ(place(demand(30)), 2U) << "too long for the idle one";
  run_on(replicas_[1], 3);
  EXPECT_EQ(place(demand(30)), 1U) << "the first of two equally loaded ones";
  replicas_[0].num_uncomputed_tokens = 1;
  EXPECT_EQ(place(demand(30)), 2U) << "a prompt is being computed on the other";
  EXPECT_EQ(place(demand(8, 8)), 3U);
  EXPECT_EQ(place(demand(300)), 0U);
}

TEST_F(PlacementTest, ACachedPrefixDrawsUntilItsReplicaIsTooBusy) {
  fill_cache(replicas_[1], 80);
  EXPECT_EQ(place(demand(81)), 2U);
  run_on(replicas_[1], 4);
  EXPECT_EQ(place(demand(81)), 2U) << "80 tokens, twice, are worth more than 4 decodes";
  run_on(replicas_[1], 6);
  EXPECT_EQ(place(demand(81)), 1U);
  run_on(replicas_[1], 0);
  replicas_[1].num_uncomputed_tokens = 200;
  EXPECT_EQ(place(demand(81)), 1U) << "computing it again is quicker than waiting";
}

TEST_F(PlacementTest, TheIndexNamesTheReplicasThatHaveThePrefix) {
  fill_cache(replicas_[1], 80);
  fill_cache(replicas_[0], 32);
  sequence_.tokens.resize(81);
  const std::vector<PrefixHolder> holders = cache_.find_holders(sequence_, replicas_[0].info.model_digest, 4);
  ASSERT_EQ(holders.size(), 2U);
  EXPECT_EQ(holders[0].replica, 2U);
  EXPECT_EQ(holders[0].num_blocks, 5);
  EXPECT_EQ(holders[1].replica, 1U);
  EXPECT_EQ(holders[1].num_blocks, 2);
  EXPECT_TRUE(cache_.find_holders(sequence_, "another model", 4).empty());
}

TEST_F(PlacementTest, ASaltSharesNothing) {
  fill_cache(replicas_[1], 160);
  request_.request.cache_salt = "mine";
  EXPECT_EQ(place(demand(161)), 1U);
}

}  // namespace
}  // namespace caudal
