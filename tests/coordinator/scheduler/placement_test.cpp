// Placement: where a waiting sequence goes. Replicas that run nothing for real: only what they say of themselves
// counts.
#include "coordinator/scheduler/placement.h"

#include <gtest/gtest.h>

#include <deque>

#include "coordinator/policy/scheduler_config.h"
#include "coordinator/scheduler/groups.h"

namespace caudal {
namespace {

class PlacementTest : public testing::Test {
 protected:
  explicit PlacementTest(std::int32_t num_replicas = 2) {
    for (std::int32_t i = 0; i < num_replicas; ++i) join(100);
    first_.tenant = second_.tenant = &tenants_.enter("");
    for (RequestState* request : {&first_, &second_}) {
      request->request.id = request->request.arrival = static_cast<Time>(++last_id_);
      request->sequences.resize(1);
      request->group = &independent();
      Sequence& sequence = request->sequences[0];
      sequence.request = request;
      sequence.id = sequence.key.sequence_id = last_id_;
      sequences_.insert(sequence);
    }
  }

  // Ids from 1 on.
  void join(std::int32_t num_blocks) {
    const ReplicaInfo info{.num_blocks = num_blocks,
                           .max_num_sequences = 8,
                           .max_tokens_per_step = 64,
                           .max_context_tokens = 256,
                           .model_digest = "model"};
    replicas_.emplace_back(index_, static_cast<ReplicaId>(replicas_.size() + 1), 1, info);
    placement_.replica_joined(replicas_.back());
  }
  ReplicaState& replica(ReplicaId id) { return replicas_[id - 1]; }

  // So many sequences decode there, and one of them has so many tokens to compute.
  void run_on(ReplicaId id, std::int32_t num_sequences, std::int32_t backlog = 0) {
    ReplicaState& one = replica(id);
    for (Sequence* sequence : one.running()) one.leave(*sequence, SequenceState::kEnded);
    one.remove_departed();
    for (std::int32_t i = 0; i < num_sequences; ++i) {
      Sequence& sequence = running_.emplace_back();
      sequence.tokens.resize(i == 0 ? 1 + backlog : 1);
      sequence.residence.num_computed = 1;
      one.admit(sequence, 100);
    }
    placement_.replica_changed(one);
  }

  // As if the first tokens of first_ had been computed there.
  void fill_cache(ReplicaId id, std::int32_t num_tokens) {
    Sequence& sequence = first_.sequences[0];
    sequence.tokens.resize(static_cast<std::size_t>(num_tokens));
    ASSERT_TRUE(replica(id).kv().grow(sequence.residence.table, num_tokens));
    sequence.residence.num_computed = num_tokens;
    cache_.publish(sequence, replica(id));
    replica(id).kv().release(sequence.residence.table);
    sequence.residence = {};
  }

  Sequence& wait(RequestState& request, std::int32_t num_prompt, std::int32_t max_new = 16) {
    Sequence& sequence = request.sequences[0];
    sequence.tokens.resize(static_cast<std::size_t>(num_prompt));
    request.num_prompt_tokens = num_prompt;
    request.request.params.stop.max_tokens = max_new;
    waiting_.insert(sequence);
    placement_.sequence_waits(sequence.id);
    std::set<ReplicaId> due;
    placement_.update(due);
    placement_.check_integrity();
    return sequence;
  }
  void stop_waiting(Sequence& sequence) {
    waiting_.erase(sequence);
    placement_.invalidate();
  }
  // 0: nowhere.
  ReplicaId place_of(const Sequence& sequence) {
    for (const ReplicaState& one : replicas_) {
      if (placement_.first(one.id()) == sequence.id) return one.id();
    }
    return 0;
  }
  ReplicaId place(std::int32_t num_prompt, std::int32_t max_new = 16) {
    Sequence& sequence = wait(first_, num_prompt, max_new);
    const ReplicaId id = place_of(sequence);
    stop_waiting(sequence);
    return id;
  }

  const SchedulerConfig config_{};
  BlockIndex index_;
  const PrefixCache cache_{config_, index_};
  Tenants tenants_{{}};
  SequenceMap sequences_;
  WaitingQueue waiting_{sequences_, tenants_, 3};
  Placement placement_{config_, cache_, sequences_, waiting_};
  std::deque<ReplicaState> replicas_;
  std::deque<Sequence> running_;
  RequestState first_, second_;
  SequenceId last_id_ = 0;
};

TEST_F(PlacementTest, PrefersTheLeastLoadedThatHasRoom) {
  join(2);
  run_on(1, 3);
  run_on(2, 2);
  EXPECT_EQ(place(30), 2U) << "too long for the idle one";
  run_on(2, 3);
  EXPECT_EQ(place(30), 1U) << "the first of two equally loaded ones";
  run_on(1, 3, 1);
  EXPECT_EQ(place(30), 2U) << "a prompt is being computed on the other";
  EXPECT_EQ(place(8, 8), 3U);
  EXPECT_EQ(place(300), 0U);
}

TEST_F(PlacementTest, ACachedPrefixCountsUntilItsReplicaIsTooBusy) {
  fill_cache(2, 80);
  EXPECT_EQ(place(81), 2U);
  run_on(2, 4);
  EXPECT_EQ(place(81), 2U) << "80 tokens, twice, are worth more than 4 decodes";
  run_on(2, 6);
  EXPECT_EQ(place(81), 1U);
  run_on(2, 1, 200);
  EXPECT_EQ(place(81), 1U) << "computing it again is quicker than waiting";
}

TEST_F(PlacementTest, TheIndexNamesTheReplicasThatHaveThePrefix) {
  fill_cache(2, 80);
  fill_cache(1, 32);
  Sequence& sequence = first_.sequences[0];
  sequence.tokens.resize(81);
  const std::vector<PrefixHolder> holders = cache_.find_holders(sequence, "model", 4);
  ASSERT_EQ(holders.size(), 2U);
  EXPECT_EQ(holders[0].replica, 2U);
  EXPECT_EQ(holders[0].num_blocks, 5);
  EXPECT_EQ(holders[1].replica, 1U);
  EXPECT_EQ(holders[1].num_blocks, 2);
  EXPECT_TRUE(cache_.find_holders(sequence, "another model", 4).empty());
}

TEST_F(PlacementTest, ASaltSharesNothing) {
  fill_cache(2, 160);
  first_.request.cache_salt = "mine";
  EXPECT_EQ(place(161), 1U);
}

TEST_F(PlacementTest, APlaceHoldsWhileAllHaveOne) {
  run_on(1, 1);
  run_on(2, 3);
  Sequence& early = wait(first_, 30);
  ASSERT_EQ(place_of(early), 1U);
  run_on(1, 5);
  Sequence& late = wait(second_, 30);
  EXPECT_EQ(place_of(early), 1U) << "as it was said";
  EXPECT_EQ(place_of(late), 2U);
  run_on(2, 0);
  std::set<ReplicaId> due;
  placement_.update(due);
  EXPECT_EQ(place_of(early), 2U) << "nobody waits while a replica has nothing to do";
}

TEST_F(PlacementTest, WhoFindsNoRoomIsPlacedWithTheNextChange) {
  run_on(1, 8);
  run_on(2, 8);
  Sequence& sequence = wait(first_, 30);
  EXPECT_EQ(place_of(sequence), 0U);
  run_on(2, 7);
  std::set<ReplicaId> due;
  placement_.update(due);
  EXPECT_EQ(place_of(sequence), 2U);
  EXPECT_EQ(due, std::set<ReplicaId>{2});
}

TEST_F(PlacementTest, ALostReplicaGivesUpWhoWasToGoThere) {
  run_on(1, 1);
  Sequence& sequence = wait(first_, 30);
  ASSERT_EQ(place_of(sequence), 2U);
  placement_.replica_lost(2);
  std::set<ReplicaId> due;
  placement_.update(due);
  EXPECT_EQ(place_of(sequence), 1U);
}

// More replicas than are looked at, all of them with the same prefix.
class ManyReplicasTest : public PlacementTest {
 protected:
  ManyReplicasTest() : PlacementTest(3 * static_cast<std::int32_t>(Placement::kMaxHolders)) {}
};

TEST_F(ManyReplicasTest, OfAPrefixThatAllHaveTheLeastLoadedIsTaken) {
  for (const ReplicaState& one : replicas_) {
    fill_cache(one.id(), 80);
    run_on(one.id(), one.id() == 30 ? 1 : 2);
  }
  EXPECT_EQ(place(81), 30U);
}

TEST_F(ManyReplicasTest, TheOneWithThePrefixIsFoundBehindMany) {
  for (const ReplicaState& one : replicas_) run_on(one.id(), one.id() == 40 ? 4 : 1);
  fill_cache(40, 80);
  EXPECT_EQ(place(81), 40U);
}

}  // namespace
}  // namespace caudal
