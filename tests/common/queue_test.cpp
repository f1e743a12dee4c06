#include "common/queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

namespace caudal {
namespace {

using namespace std::chrono_literals;

TEST(Queue, KeepsOrderAndBound) {
  Queue<int> queue(2);
  EXPECT_TRUE(queue.try_push(1));
  EXPECT_TRUE(queue.try_push(2));
  EXPECT_FALSE(queue.try_push(3));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_TRUE(queue.try_push(3));
  EXPECT_EQ(queue.drain_for(0ms), (std::vector<int>{2, 3}));
  EXPECT_EQ(queue.pop_for(1ms), std::nullopt);
  EXPECT_TRUE(queue.try_push(4));
  EXPECT_TRUE(queue.try_push(5));
  EXPECT_EQ(queue.drain_for(0ms, 1), (std::vector<int>{4}));
  EXPECT_EQ(queue.drain_for(0ms, 2), (std::vector<int>{5}));
}

TEST(Queue, ARefusedItemIsLeftToItsOwner) {
  Queue<std::unique_ptr<int>> queue(1);
  EXPECT_TRUE(queue.try_push(std::make_unique<int>(1)));
  auto item = std::make_unique<int>(2);
  EXPECT_FALSE(queue.try_push(std::move(item)));
  ASSERT_NE(item, nullptr);
  EXPECT_EQ(*item, 2);
}

TEST(Queue, CloseDrainsThenEnds) {
  Queue<int> queue(4);
  queue.push(1);
  queue.close();
  EXPECT_FALSE(queue.push(2));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

TEST(Queue, CloseWakesWhoWaits) {
  Queue<int> empty(1);
  Queue<int> full(1);
  full.push(1);
  std::thread consumer([&] { EXPECT_EQ(empty.pop(), std::nullopt); });
  std::thread producer([&] { EXPECT_FALSE(full.push(2)); });
  std::this_thread::sleep_for(5ms);
  empty.close();
  full.close();
  consumer.join();
  producer.join();
}

TEST(Queue, ManyThreadsLoseNothing) {
  constexpr int kPerThread = 5000;
  Queue<int> queue(16);
  std::atomic<long> sum = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int n = 1; n <= kPerThread; ++n) EXPECT_TRUE(queue.push(int{n}));
    });
  }
  std::vector<std::thread> consumers;
  for (int i = 0; i < 2; ++i) {
    consumers.emplace_back([&] {
      while (auto item = queue.pop()) sum += *item;
    });
  }
  for (auto& thread : threads) thread.join();
  queue.close();
  for (auto& thread : consumers) thread.join();
  EXPECT_EQ(sum, 3L * kPerThread * (kPerThread + 1) / 2);
}

}  // namespace
}  // namespace caudal
