// Tenants and the waiting queue's turns: shares by weight, no saving up, and nobody starves.
#include "coordinator/policy/tenants.h"

#include <gtest/gtest.h>

#include <deque>

#include "coordinator/sequence/waiting_queue.h"

namespace caudal {
namespace {

// A queue of one-sequence requests; turns are taken one by one.
class Turns {
 public:
  explicit Turns(TenantConfig config = {}, std::int32_t oldest_every = 0)
      : tenants(std::move(config)), queue(sequences, tenants, oldest_every) {}

  Sequence& add(const std::string& tenant, std::int32_t num_prompt = 100, std::int32_t priority = 0) {
    RequestState& request = requests_.emplace_back();
    request.tenant = &tenants.enter(tenant);
    request.num_prompt_tokens = num_prompt;
    request.request.arrival = ++now_;
    request.request.priority = priority;
    request.sequences.resize(1);
    Sequence& sequence = request.sequences[0];
    sequence.request = &request;
    sequence.id = ++last_id_;
    sequence.key = EarliestDueFirst().key(request.request, sequence.id, true);
    sequences.insert(sequence);
    queue.insert(sequence);
    return sequence;
  }
  Sequence* take() {
    Sequence* next = nullptr;
    {
      QueueWalk walk(queue);
      next = walk.next();
      if (next != nullptr) queue.count_turn(*next);
    }
    if (next != nullptr) queue.erase(*next);
    return next;
  }
  std::string take_tenant() {
    Sequence* next = take();
    return next == nullptr ? "nobody" : next->request->tenant->name;
  }

  Tenants tenants;
  SequenceMap sequences;
  WaitingQueue queue;

 private:
  std::deque<RequestState> requests_;
  SequenceId last_id_ = 0;
  Time now_ = 0;
};

TEST(Tenants, AFloodOfOneWaitsForTheOther) {
  Turns turns;
  for (int i = 0; i < 100; ++i) turns.add("flood");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(turns.take_tenant(), "flood");
  turns.add("light");
  EXPECT_EQ(turns.take_tenant(), "flood") << "it starts where the others are, and they were here first";
  EXPECT_EQ(turns.take_tenant(), "light") << "not after the 89 others";
  turns.add("light");
  EXPECT_EQ(turns.take_tenant(), "flood");
  EXPECT_EQ(turns.take_tenant(), "light");
}

TEST(Tenants, ShareByWeightAndServedTokens) {
  Turns turns({.weights = {{"a", 3}}, .only_known = false});
  for (int i = 0; i < 400; ++i) {
    turns.add("a");
    turns.add("b");
  }
  int num_a = 0;
  for (int i = 0; i < 400; ++i) num_a += turns.take_tenant() == "a" ? 1 : 0;
  EXPECT_EQ(num_a, 300);
  // Generated tokens count twice: 50 for each of b's prompts of 100.
  Turns charged;
  for (int i = 0; i < 300; ++i) {
    charged.add("a");
    charged.add("b");
  }
  int num_b = 0;
  for (int i = 0; i < 300; ++i) {
    Sequence* next = charged.take();
    if (next->request->tenant->name != "b") continue;
    ++num_b;
    next->request->tenant->charge_generated(50);
  }
  EXPECT_EQ(num_b, 100);
}

TEST(Tenants, NobodySavesUpWhileAway) {
  Turns turns;
  for (int i = 0; i < 50; ++i) turns.add("busy");
  for (int i = 0; i < 40; ++i) turns.take();
  for (int i = 0; i < 10; ++i) turns.add("new");
  int num_new = 0;
  for (int i = 0; i < 10; ++i) num_new += turns.take_tenant() == "new" ? 1 : 0;
  EXPECT_EQ(num_new, 5) << "half, not all of what busy had before";
}

TEST(Tenants, LeavingDoesNotPayDebts) {
  Turns turns;
  Sequence& waiting = turns.add("other", 10);
  Sequence& first = turns.add("debtor", 10);
  first.request->tenant->charge_generated(1'000'000);
  turns.queue.erase(first);
  turns.tenants.leave(*first.request->tenant);  // forgotten were it not for its debt
  Sequence& second = turns.add("debtor", 10);
  EXPECT_GE(second.request->tenant->service, 2'000'000 * Tenant::kOneToken);
  EXPECT_EQ(turns.take(), &waiting);
}

TEST(Tenants, AreForgottenWhenTheyOweNothing) {
  Turns turns;
  for (int i = 0; i < 3 * static_cast<int>(Tenants::kMaxIdle); ++i) {
    Sequence& sequence = turns.add("user-" + std::to_string(i));
    turns.take();
    turns.tenants.leave(*sequence.request->tenant);
  }
  EXPECT_LE(turns.tenants.all().size(), Tenants::kMaxIdle + 1);
  Turns known({.weights = {{"a", 2}}, .only_known = true});
  EXPECT_TRUE(known.tenants.admits("a"));
  EXPECT_FALSE(known.tenants.admits("b"));
  EXPECT_EQ(known.tenants.all().size(), 1U) << "configured ones stay";
}

TEST(WaitingQueue, ManyTenantsInRanks) {
  Turns turns;
  for (int i = 0; i < 5; ++i) turns.add("a", 100, 1);
  for (int i = 0; i < 5; ++i) turns.add("b", 100, 0);
  for (int i = 0; i < 5; ++i) turns.add("c", 100, i);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(turns.take()->key.rank, 0) << i;
  EXPECT_EQ(turns.queue.size(), 9);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(turns.take()->key.rank, 1) << i;
}

TEST(QueueWalk, WhatIsShownAndNotTakenWaitsOn) {
  Turns turns;
  Sequence& a = turns.add("a");
  Sequence& b = turns.add("b");
  Sequence& c = turns.add("c");
  {
    QueueWalk walk(turns.queue);
    EXPECT_EQ(walk.next(), &a);
    EXPECT_EQ(walk.next(), &b);
    turns.queue.count_turn(b);
    EXPECT_EQ(walk.next(), &c);
    EXPECT_EQ(walk.next(), nullptr);
  }
  EXPECT_EQ(turns.queue.size(), 3);
  turns.queue.erase(b);
  EXPECT_EQ(turns.take(), &a) << "looked at is not served";
  EXPECT_EQ(turns.take(), &c);
  EXPECT_EQ(turns.take(), nullptr);
}

// The bound that the header states, against everything that could overtake: urgent ranks and fresh tenants.
TEST(WaitingQueue, NobodyStarves) {
  constexpr int kEvery = 3, kOlder = 20;
  Turns turns({}, kEvery);
  for (int i = 0; i < kOlder; ++i) turns.add("flood");
  Sequence& patient = turns.add("flood", 100, 1000);
  int num_turns = 0;
  for (Sequence* next = nullptr; next != &patient; ++num_turns) {
    ASSERT_LE(num_turns, kEvery * (kOlder + 1));
    turns.add("adversary-" + std::to_string(num_turns), 1, -1000);
    turns.add("adversary", 1, -1000);
    next = turns.take();
  }
  EXPECT_GT(num_turns, kOlder + 1) << "and the urgent ones are served in between";
}

TEST(EarliestDueFirst, TargetsAndDeadlinesComeForwardButNotForEver) {
  const EarliestDueFirst policy;
  Request plain, tight, later;
  plain.arrival = 1'000'000;
  tight.arrival = 2'000'000;
  tight.ttft_target_us = 500'000;
  EXPECT_LT(policy.key(tight, 2, true), policy.key(plain, 1, true));
  EXPECT_LT(policy.key(plain, 1, true), policy.key(tight, 2, false)) << "too late for its target: in line again";
  later.arrival = plain.arrival + EarliestDueFirst::kPatience;
  later.deadline = later.arrival + 1;
  EXPECT_LT(policy.key(plain, 1, true), policy.key(later, 3, true)) << "who waits long enough is not overtaken";
}

TEST(Tenants, TokensOfForgottenOnesStayCounted) {
  Tenants tenants({});
  for (std::size_t i = 0; i < 2 * Tenants::kMaxIdle; ++i) {
    Tenant& tenant = tenants.enter("tenant " + std::to_string(i));
    tenant.charge_generated(3);
    tenants.leave(tenant);
  }
  std::uint64_t num_tokens = tenants.num_tokens_of_forgotten();
  EXPECT_GT(num_tokens, 0U);
  for (const auto& [name, tenant] : tenants.all()) num_tokens += tenant.num_generated_tokens;
  EXPECT_EQ(num_tokens, 6 * Tenants::kMaxIdle);
}

}  // namespace
}  // namespace caudal
