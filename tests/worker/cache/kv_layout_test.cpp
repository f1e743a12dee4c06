// Which layers share a block table.
#include "worker/cache/kv_layout.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace caudal {
namespace {

std::vector<KvGroup> groups_of(std::vector<std::int32_t> windows) { return make_kv_groups(windows); }

TEST(KvLayout, EqualWindowsAreOneGroup) {
  EXPECT_EQ(groups_of({0, 0, 0}), (std::vector<KvGroup>{{0, {0, 1, 2}}}));
  EXPECT_EQ(groups_of({64, 64}), (std::vector<KvGroup>{{64, {0, 1}}}));
  EXPECT_TRUE(groups_of({}).empty());
}

TEST(KvLayout, GroupsAreAsLargeAsTheRarestWindow) {
  EXPECT_EQ(groups_of({8, 8, 8, 0, 8}), (std::vector<KvGroup>{{0, {3}}, {8, {0}}, {8, {1}}, {8, {2}}, {8, {4}}}));
  // The picture in the header: five windowed layers in groups of two, the last of which is not full.
  const std::vector<KvGroup> groups = groups_of({0, 8, 8, 8, 8, 0, 8});
  EXPECT_EQ(groups, (std::vector<KvGroup>{{0, {0, 5}}, {8, {1, 2}}, {8, {3, 4}}, {8, {6}}}));
  EXPECT_EQ(layers_per_group(groups), 2U);
}

TEST(KvLayout, NearlyEqualCountsMakeOneGroupEach) {
  std::vector<std::int32_t> windows(9, 0);
  for (std::size_t i = 0; i < 5; ++i) windows[2 * i] = 16;  // five and four: groups of four would be three
  EXPECT_EQ(groups_of(windows).size(), 3U) << "5 is not below 1.25 * 4";
  windows.assign(19, 0);
  for (std::size_t i = 0; i < 10; ++i) windows[i] = 16;
  EXPECT_EQ(groups_of(windows).size(), 2U);
  EXPECT_EQ(layers_per_group(groups_of(windows)), 10U);
}

TEST(KvLayout, TheGroupThatSeesTheFurthestComesFirst) {
  const std::vector<KvGroup> groups = groups_of({16, 128, 0, 16, 128, 0});
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_EQ(groups[0].window, 0);
  EXPECT_EQ(groups[1].window, 128);
  EXPECT_EQ(groups[2].window, 16);
}

// The shape of published hybrids: every sixth layer sees everything.
TEST(KvLayout, EveryLayerIsInOneGroup) {
  std::vector<std::int32_t> windows(62, 1024);
  for (std::size_t i = 5; i < windows.size(); i += 6) windows[i] = 0;
  const std::vector<KvGroup> groups = groups_of(windows);
  std::vector<int> layers;
  for (const KvGroup& group : groups) {
    for (const int layer : group.layers) EXPECT_EQ(windows[static_cast<std::size_t>(layer)], group.window);
    layers.insert(layers.end(), group.layers.begin(), group.layers.end());
    EXPECT_LE(group.layers.size(), layers_per_group(groups));
  }
  EXPECT_EQ(layers.size(), windows.size());
  std::ranges::sort(layers);
  EXPECT_EQ(std::ranges::unique(layers).size(), 0U);
}

}  // namespace
}  // namespace caudal
