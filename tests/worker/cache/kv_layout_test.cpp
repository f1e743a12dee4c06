// Which layers share a block table.
#include "worker/cache/kv_layout.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace caudal {
namespace {

// Of layers with equal heads.
KvShape shape_of(const std::vector<std::int32_t>& windows) {
  KvShape shape;
  for (const std::int32_t window : windows)
    shape.layers.push_back({.num_kv_heads = 2, .head_dim = 16, .window = window});
  shape.groups = make_kv_groups(shape.layers);
  return shape;
}

std::vector<KvGroup> groups_of(const std::vector<std::int32_t>& windows) { return shape_of(windows).groups; }

std::size_t pairs_of(const std::vector<std::int32_t>& windows) { return shape_of(windows).row_elements().size(); }

TEST(KvLayout, EqualWindowsAreOneGroup) {
  EXPECT_EQ(groups_of({0, 0, 0}), (std::vector<KvGroup>{{0, {0, 1, 2}}}));
  EXPECT_EQ(groups_of({64, 64}), (std::vector<KvGroup>{{64, {0, 1}}}));
  EXPECT_TRUE(groups_of({}).empty());
}

TEST(KvLayout, GroupsAreAsLargeAsTheRarestWindow) {
  EXPECT_EQ(groups_of({8, 8, 8, 0, 8}), (std::vector<KvGroup>{{0, {3}}, {8, {0}}, {8, {1}}, {8, {2}}, {8, {4}}}));
  // Five windowed layers in groups of two, the last of which is not full.
  const std::vector<std::int32_t> windows = {0, 8, 8, 8, 8, 0, 8};
  EXPECT_EQ(groups_of(windows), (std::vector<KvGroup>{{0, {0, 5}}, {8, {1, 2}}, {8, {3, 4}}, {8, {6}}}));
  EXPECT_EQ(pairs_of(windows), 2U);
}

TEST(KvLayout, NearlyEqualCountsMakeOneGroupEach) {
  std::vector<std::int32_t> windows(9, 0);
  for (std::size_t i = 0; i < 5; ++i) windows[2 * i] = 16;  // five and four: groups of four would be three
  EXPECT_EQ(groups_of(windows).size(), 3U) << "5 is not below 1.25 * 4";
  windows.assign(19, 0);
  for (std::size_t i = 0; i < 10; ++i) windows[i] = 16;
  EXPECT_EQ(groups_of(windows).size(), 2U);
  EXPECT_EQ(pairs_of(windows), 10U);
}

TEST(KvLayout, TheGroupThatSeesTheFurthestComesFirst) {
  const std::vector<KvGroup> groups = groups_of({16, 128, 0, 16, 128, 0});
  ASSERT_EQ(groups.size(), 3U);
  EXPECT_EQ(groups[0].window, 0);
  EXPECT_EQ(groups[1].window, 128);
  EXPECT_EQ(groups[2].window, 16);
}

std::vector<KvGroup> groups_of_layers(const std::vector<KvLayer>& layers) { return make_kv_groups(layers); }

// The picture in the header.
TEST(KvLayout, SmallerLayersShareAPairOfArrays) {
  const KvLayer large{4, 64, 0}, small{2, 64, 8};
  const std::vector<KvLayer> layers = {large, small, small, large, small, small, small};
  const std::vector<KvGroup> groups = make_kv_groups(layers);
  EXPECT_EQ(groups, (std::vector<KvGroup>{{0, {0, 3}, 1}, {8, {1, 2, 4, 5}, 2}, {8, {6}, 2}}));
  const KvShape shape{layers, groups, DType::kBF16};
  EXPECT_EQ(shape.row_elements(), (std::vector<std::int64_t>{16 * 4 * 64, 16 * 4 * 64}));
  EXPECT_EQ(shape.block_bytes(), 2U * 2 * 16 * 4 * 64 * 2);
}

TEST(KvLayout, RowsAreFilledByEverySize) {
  const KvLayer three{3, 16, 0}, two{2, 16, 8};
  const std::vector<KvLayer> layers = {three, two, two, three, two};
  const std::vector<KvGroup> groups = make_kv_groups(layers);
  EXPECT_EQ(groups, (std::vector<KvGroup>{{0, {0, 3}, 2}, {8, {1, 2, 4}, 3}}));
  EXPECT_EQ((KvShape{layers, groups, DType::kF32}.row_elements()), std::vector<std::int64_t>{16 * 6 * 16});
}

// What counts is how much a layer keeps.
TEST(KvLayout, LayersThatKeepEquallyMuchAreOneKind) {
  EXPECT_EQ(groups_of_layers({{2, 32, 0}, {4, 16, 0}, {1, 64, 8}, {2, 32, 8}}),
            (std::vector<KvGroup>{{0, {0, 1}}, {8, {2, 3}}}));
}

TEST(KvLayout, OneTableIsEnoughWhereAllSeeEquallyFar) {
  const std::vector<KvLayer> layers = {{2, 32, 8}, {3, 16, 8}, {2, 48, 8}};
  const std::vector<KvGroup> groups = make_kv_groups(layers);
  EXPECT_EQ(groups, (std::vector<KvGroup>{{8, {0, 1, 2}}}));
  EXPECT_EQ((KvShape{layers, groups, DType::kF32}.block_bytes()), 2U * 16 * (64 + 48 + 96) * 4);
}

// Layers of 80 and 112 fill rows of 560, the first seven to a row, the others five.
TEST(KvLayout, NothingIsFreedWhereThatLeavesMostOfTheRoomUnused) {
  const std::vector<KvGroup> one_group = {{0, {0, 1, 2, 3}}};
  EXPECT_EQ(groups_of_layers({{1, 80, 0}, {1, 112, 8}, {1, 80, 0}, {1, 112, 8}}), one_group) << "1120 for 384";
  std::vector<KvLayer> layers(6, KvLayer{1, 80, 0});
  layers.resize(10, KvLayer{1, 112, 8});
  EXPECT_EQ(make_kv_groups(layers).size(), 2U) << "1120 for 928";
  // With a second window, one group of the first kind, two of the second and one of the third would take 2240 for 864.
  layers.assign(1, KvLayer{1, 80, 0});
  layers.resize(7, KvLayer{1, 112, 8});
  layers.resize(8, KvLayer{1, 112, 40});
  EXPECT_EQ(make_kv_groups(layers).size(), 1U);
}

// However many sizes a config names, what they have in common stays small or is not looked for.
TEST(KvLayout, ManySizesAreOneGroup) {
  std::vector<KvLayer> layers;
  for (std::int64_t i = 1; i <= 200; ++i)
    layers.push_back({.num_kv_heads = (std::int64_t{1} << 31) - i, .head_dim = 256, .window = i == 7 ? 16 : 0});
  EXPECT_EQ(make_kv_groups(layers).size(), 1U);
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
    EXPECT_LE(group.layers.size(), pairs_of(windows));
  }
  EXPECT_EQ(layers.size(), windows.size());
  std::ranges::sort(layers);
  EXPECT_EQ(std::ranges::unique(layers).size(), 0U);
}

}  // namespace
}  // namespace caudal
