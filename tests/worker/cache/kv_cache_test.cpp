// Where K and V of layers of different sizes lie: each in memory of its own block, and where they are after transfers.
#include "worker/cache/kv_cache.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/worker/measured_backend.h"

namespace caudal {
namespace {

struct Case {
  const char* name;
  std::vector<KvLayer> layers;
};

const Case kCases[] = {
    {"OneSize", {{2, 16, 0}, {2, 16, 0}, {2, 16, 0}}},
    {"Windows", {{2, 16, 0}, {2, 16, 8}, {2, 16, 8}, {2, 16, 8}}},
    {"HalfRows", {{4, 16, 0}, {2, 16, 8}, {2, 16, 8}, {4, 16, 0}, {2, 16, 8}, {2, 16, 8}, {2, 16, 8}}},
    {"TwoThirds", {{3, 16, 0}, {2, 16, 8}, {2, 16, 8}, {3, 16, 0}, {2, 16, 8}}},
    {"ThreeKinds", {{4, 32, 0}, {4, 16, 40}, {1, 32, 8}, {2, 32, 40}, {2, 16, 8}, {2, 16, 8}, {1, 32, 8}}},
    {"OneTable", {{2, 32, 0}, {6, 16, 0}, {2, 48, 0}}},
    {"NoCommonRow", {{2, 80, 0}, {2, 112, 8}, {2, 112, 8}}},
};

KvShape shape_of(const Case& c, DType dtype = DType::kF32) { return {c.layers, make_kv_groups(c.layers), dtype}; }

class KvCaches : public testing::TestWithParam<Case> {
 protected:
  // The row of a block in the layer's K or V, of f32.
  std::span<float> row(const KvCache& cache, std::size_t layer, bool is_v, std::int64_t block) const {
    const LayerCache& view = cache.layer(layer);
    const Tensor& tensor = is_v ? view.v : view.k;
    const Tensor row = tensor.rows(block * cache.rows_per_block()[view.group], 1);
    return {row.as<float>(), static_cast<std::size_t>(row.elements())};
  }

  // Marks K and V of every layer of the group with values of their own.
  void fill(const KvCache& cache, std::size_t group, std::int64_t block, float value) const {
    for (std::size_t layer = 0; layer < GetParam().layers.size(); ++layer) {
      if (cache.layer(layer).group != group) continue;
      for (const bool is_v : {false, true})
        std::ranges::fill(row(cache, layer, is_v, block), value + static_cast<float>(2 * layer + (is_v ? 1 : 0)) / 64);
    }
  }
  void expect_filled(const KvCache& cache, std::size_t group, std::int64_t block, float value) const {
    for (std::size_t layer = 0; layer < GetParam().layers.size(); ++layer) {
      if (cache.layer(layer).group != group) continue;
      for (const bool is_v : {false, true}) {
        const float expected = value + static_cast<float>(2 * layer + (is_v ? 1 : 0)) / 64;
        for (const float element : row(cache, layer, is_v, block)) ASSERT_EQ(element, expected) << layer << is_v;
      }
    }
  }

  std::unique_ptr<Backend> cpu_ = std::move(one_core()).value();
};

TEST_P(KvCaches, TakeWhatABlockTakesForEachBlock) {
  MeasuredBackend backend;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const KvShape shape = shape_of(GetParam(), dtype);
    const std::size_t before = backend.device_bytes, host_before = backend.host_bytes;
    const KvCache cache = std::move(KvCache::create(backend, shape, 7)).value();
    EXPECT_EQ(backend.device_bytes - before, 7 * shape.block_bytes());
    const KvCache host = std::move(KvCache::create_on_host(backend, cache, 3)).value();
    EXPECT_EQ(backend.host_bytes - host_before, 3 * shape.block_bytes());
    // A block has room for every group.
    for (const KvGroup& group : shape.groups) {
      std::size_t bytes = 0;
      for (const int layer : group.layers) {
        const KvLayer& sizes = shape.layers[static_cast<std::size_t>(layer)];
        bytes += 2 * 16 * static_cast<std::size_t>(sizes.num_kv_heads * sizes.head_dim) * dtype_bytes(dtype);
      }
      EXPECT_LE(bytes, shape.block_bytes());
    }
  }
}

TEST_P(KvCaches, GiveEachLayerItsOwnSizes) {
  const KvShape shape = shape_of(GetParam());
  const KvCache cache = std::move(KvCache::create(*cpu_, shape, 5)).value();
  for (std::size_t layer = 0; layer < shape.layers.size(); ++layer) {
    for (const Tensor& tensor : {cache.layer(layer).k, cache.layer(layer).v}) {
      EXPECT_EQ(tensor.dim(1), 16);
      EXPECT_EQ(tensor.dim(2), shape.layers[layer].num_kv_heads);
      EXPECT_EQ(tensor.dim(3), shape.layers[layer].head_dim);
      EXPECT_TRUE(tensor.contiguous());
    }
  }
}

// Blocks go to the groups in turns, so each group has neighbours of the others. What is written last says whether it
// has overwritten something else.
TEST_P(KvCaches, KeepBlocksOfDifferentGroupsApart) {
  const KvShape shape = shape_of(GetParam());
  const auto num_groups = static_cast<std::int64_t>(shape.groups.size()), num_blocks = 4 * num_groups;
  const KvCache cache = std::move(KvCache::create(*cpu_, shape, num_blocks)).value();
  for (const std::int64_t shift : {0, 1}) {
    const auto group_of = [&](std::int64_t block) { return static_cast<std::size_t>((block + shift) % num_groups); };
    for (std::int64_t block = 0; block < num_blocks; ++block)
      fill(cache, group_of(block), block, static_cast<float>(block));
    for (std::int64_t block = 0; block < num_blocks; ++block)
      expect_filled(cache, group_of(block), block, static_cast<float>(block));
  }
}

TEST_P(KvCaches, KeepWhatGoesToTheHostAndBack) {
  const KvShape shape = shape_of(GetParam());
  const auto num_groups = static_cast<std::int64_t>(shape.groups.size()), num_blocks = 2 * num_groups;
  const KvCache device = std::move(KvCache::create(*cpu_, shape, num_blocks)).value();
  const KvCache host = std::move(KvCache::create_on_host(*cpu_, device, num_blocks)).value();
  std::vector<BlockPair> out, back;
  for (std::int64_t block = 0; block < num_blocks; ++block) {
    fill(device, static_cast<std::size_t>(block % num_groups), block, static_cast<float>(block));
    out.push_back({static_cast<std::int32_t>(block), static_cast<std::int32_t>(num_blocks - 1 - block)});
  }
  // Back to other blocks, as happens to a sequence that comes back.
  const auto place = [&](std::int64_t block) { return (block + num_groups) % num_blocks; };
  for (const BlockPair& pair : out) back.push_back({pair.destination, static_cast<std::int32_t>(place(pair.source))});
  const std::unique_ptr<CopyStream> stream = cpu_->make_copy_stream();
  stream->start(device.copies_to(host, out));
  stream->wait(1);
  for (std::int64_t block = 0; block < num_blocks; ++block)
    fill(device, static_cast<std::size_t>(block % num_groups), block, -1.0F);
  stream->start(host.copies_to(device, back));
  stream->wait(2);
  for (std::int64_t block = 0; block < num_blocks; ++block)
    expect_filled(device, static_cast<std::size_t>(block % num_groups), place(block), static_cast<float>(block));
  // And beside each other on the device.
  const std::vector<BlockPair> fork = {{0, static_cast<std::int32_t>(num_groups)}};
  device.copy_blocks(*cpu_, fork, device);
  expect_filled(device, 0, num_groups, static_cast<float>(num_groups));
}

INSTANTIATE_TEST_SUITE_P(Layouts, KvCaches, testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace caudal
