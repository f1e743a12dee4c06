// Arena: objects stay where they are, and what is erased is used again.
#include "coordinator/kv/arena.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>
#include <set>

namespace caudal {
namespace {

struct alignas(64) Thing {
  std::shared_ptr<int> value;
  char bulk[100]{};
};

TEST(Arena, KeepsObjectsWhereTheyAreWhileOthersComeAndGo) {
  std::mt19937 random(1);
  Arena<Thing> arena;
  std::deque<std::pair<Thing*, std::shared_ptr<int>>> live;
  std::set<const Thing*> places;
  for (int i = 0; i < 50'000; ++i) {
    if (live.size() < 20'000 && random() % 100 < 55) {
      const auto value = std::make_shared<int>(i);
      Thing& thing = arena.make(value);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&thing) % alignof(Thing), 0U);
      places.insert(&thing);
      live.emplace_back(&thing, value);
    } else if (!live.empty()) {
      const auto [thing, value] = live.front();
      live.pop_front();
      ASSERT_EQ(thing->value, value);
      arena.erase(*thing);
      EXPECT_EQ(value.use_count(), 1) << "it was destroyed";
    }
  }
  EXPECT_LT(places.size(), 20'000U) << "places are used again";
  for (const auto& [thing, value] : live) {
    ASSERT_EQ(thing->value, value);
    arena.erase(*thing);
  }
}

}  // namespace
}  // namespace caudal
