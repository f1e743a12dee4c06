// WaitingQueue and SequenceMap: who is next, and who is who.
#include "coordinator/sequence/waiting_queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "coordinator/policy/queue_policy.h"

namespace caudal {
namespace {

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
  SequenceMap sequences;
  for (Sequence& sequence : request.sequences) sequences.insert(sequence);
  WaitingQueue queue(sequences, tenants, 3);
  for (Sequence& sequence : request.sequences) queue.insert(sequence);
  EXPECT_EQ(queue.find_alarm(10), nullptr) << "the deadline itself is still in time";
  EXPECT_EQ(queue.find_alarm(11), &request.sequences[1]);
  queue.erase(request.sequences[1]);
  EXPECT_EQ(queue.find_alarm(11), nullptr);
  EXPECT_EQ(queue.size(), 1);
}

TEST(SequenceMap, FindsWhoIsThereHoweverIdsComeAndGo) {
  std::mt19937_64 random(1);
  std::deque<Sequence> live;
  SequenceMap table;
  SequenceId last_id = 0;
  for (int i = 0; i < 20'000; ++i) {
    const bool grows = random() % 1000 < (i < 10'000 ? 520U : 480U);
    if (grows || live.empty()) {
      last_id += random() % 100 == 0 ? 40 : 1;  // some ids are given to nobody
      live.emplace_back().id = last_id;
      table.insert(live.back());
    } else if (random() % 8 == 0) {  // the old ones go first, mostly
      table.erase(live.back().id);
      live.pop_back();
    } else {
      table.erase(live.front().id);
      live.pop_front();
    }
    if (i % 64 != 0) continue;
    for (Sequence& sequence : live) ASSERT_EQ(&table[sequence.id], &sequence);
  }
}

}  // namespace
}  // namespace caudal
