// embedding, gather_rows, copy_blocks, host copies and zero: every byte that should move, and no other.
#include <array>

#include "tests/kernels/op_test.h"

namespace caudal {
namespace {

class CopyTest : public OpTest {};
INSTANTIATE_TEST_SUITE_P(Cases, CopyTest,
                         testing::Combine(testing::Values(DType::kF32, DType::kBF16),
                                          testing::Values(kTestDevice == std::string_view("cpu") ? "" : kTestDevice)));

OwnedMatrix indices(std::initializer_list<int> values) {
  OwnedMatrix result(DType::kI32, 1, static_cast<std::int64_t>(values.size()));
  std::int64_t i = 0;
  for (const int value : values) result.set(0, i++, value);
  return result;
}

TEST_P(CopyTest, EmbeddingTakesItsPartOfTheVocabulary) {
  for (const std::int64_t hidden : {1, 7, 33, 896}) {
    const OwnedMatrix table = OwnedMatrix(dtype(), 40, hidden).fill_normal(1);
    const std::unique_ptr<Linear> packed = std::move(backend_->pack_linear(source_of(table.tensor(), {}))).value();
    const OwnedMatrix ids = indices({100, 139, 99, 140, 117});
    const OwnedMatrix out(dtype(), 5, hidden, 3);
    backend_->embedding(ids.vector(), *packed, 100, out.tensor());
    EXPECT_EQ(out.row(0), table.row(0));
    EXPECT_EQ(out.row(1), table.row(39));
    EXPECT_EQ(out.row(2), std::vector<double>(static_cast<std::size_t>(hidden), 0.0));
    EXPECT_EQ(out.row(3), std::vector<double>(static_cast<std::size_t>(hidden), 0.0));
    EXPECT_EQ(out.row(4), table.row(17));
  }
}

TEST_P(CopyTest, GatherTakesRowsOfAStridedMatrix) {
  const OwnedMatrix x = OwnedMatrix(dtype(), 6, 65, 4).fill_normal(2);
  const OwnedMatrix rows = indices({5, 0, 5});
  const OwnedMatrix out(dtype(), 3, 65, 1);
  backend_->gather_rows(x.tensor(), rows.vector(), out.tensor());
  EXPECT_EQ(out.row(0), x.row(5));
  EXPECT_EQ(out.row(1), x.row(0));
  EXPECT_EQ(out.row(2), x.row(5));
  backend_->gather_rows(x.tensor(), rows.vector().rows(0, 0), out.tensor().rows(0, 0));
}

TEST_P(CopyTest, IdsBelowZeroBecomeSampledTokens) {
  const OwnedMatrix sampled = indices({70, 80, -1}), ids = indices({-2, 5, 0, -3, -1});
  backend_->insert_sampled(sampled.vector(), ids.vector());
  EXPECT_EQ(ids.row(0), (std::vector<double>{80, 5, 0, -1, 70}));
}

TEST_P(CopyTest, BlocksAreCopiedInOrder) {
  constexpr std::int64_t kColumns = kBlockSize * 2 * 8;
  OwnedMatrix cache = OwnedMatrix(dtype(), 4, kColumns).fill_normal(3);
  const OwnedMatrix before = cache;
  const std::array<BlockPair, 3> copies{{{0, 1}, {1, 3}, {2, 2}}};
  const Tensor blocks = cache.tensor().reshaped({4, kBlockSize, 2, 8});
  backend_->copy_blocks(copies, blocks, blocks);
  EXPECT_EQ(cache.row(0), before.row(0));
  EXPECT_EQ(cache.row(1), before.row(0));
  EXPECT_EQ(cache.row(2), before.row(2));
  EXPECT_EQ(cache.row(3), before.row(0));
}

// Out to a smaller pool in host memory, and back to other places; neighbours on both sides and not.
TEST_P(CopyTest, BlocksGoToHostMemoryAndBack) {
  constexpr std::int64_t kColumns = kBlockSize * 2 * 8;
  OwnedMatrix cache = OwnedMatrix(dtype(), 6, kColumns).fill_normal(8);
  const OwnedMatrix before = cache;
  const Buffer memory = std::move(backend_->allocate_host(4 * kColumns * dtype_bytes(dtype()))).value();
  const Tensor blocks = cache.tensor().reshaped({6, kBlockSize, 2, 8});
  const Tensor host = memory.tensor(dtype(), {4, kBlockSize, 2, 8});
  backend_->copy_blocks(std::array<BlockPair, 4>{{{1, 0}, {2, 1}, {3, 2}, {5, 3}}}, blocks, host);
  backend_->copy_blocks(std::array<BlockPair, 3>{{{3, 0}, {0, 4}, {1, 5}}}, host, blocks);
  const std::array<int, 6> expected{5, 1, 2, 3, 1, 2};
  for (std::int64_t i = 0; i < 6; ++i) EXPECT_EQ(cache.row(i), before.row(expected[static_cast<std::size_t>(i)])) << i;
}

TEST_P(CopyTest, HostCopiesRoundTripAndZeroKeepsThePadding) {
  const OwnedMatrix source = OwnedMatrix(dtype(), 3, 7).fill_normal(4);
  const OwnedMatrix device(dtype(), 3, 7), back(dtype(), 3, 7);
  backend_->copy_to_device(source.tensor().data(), device.tensor());
  backend_->copy_to_host(device.tensor(), back.tensor().data());
  EXPECT_EQ(source.bytes(), back.bytes());
  const OwnedMatrix strided(dtype(), 3, 7, 4);
  backend_->copy_to_device(source.tensor().data(), strided.tensor());
  for (std::int64_t r = 0; r < 3; ++r) EXPECT_EQ(strided.row(r), source.row(r));
  EXPECT_EQ(strided.bytes()[7 * dtype_bytes(dtype())], std::byte{0x5A});
  const OwnedMatrix padded = OwnedMatrix(dtype(), 2, 4, 2).fill_normal(5);
  backend_->zero(padded.tensor());
  EXPECT_EQ(padded.row(1), std::vector<double>(4, 0.0));
  EXPECT_EQ(padded.bytes()[4 * dtype_bytes(dtype())], std::byte{0x5A});
}

TEST(CopyDeathTest, RefusesRowsAndBlocksOutside) {
  const std::unique_ptr<Backend> backend = make_test_backend("", 1);
  const OwnedMatrix x(DType::kF32, 2, 4), out(DType::kF32, 1, 4), rows = indices({2});
  EXPECT_DEATH(backend->gather_rows(x.tensor(), rows.vector(), out.tensor()), "row < ");
  const OwnedMatrix cache(DType::kF32, 2, kBlockSize * 4);
  const std::array<BlockPair, 1> copies{{{0, 2}}};
  const Tensor blocks = cache.tensor().reshaped({2, kBlockSize, 1, 4});
  EXPECT_DEATH(backend->copy_blocks(copies, blocks, blocks), "destination");
}

}  // namespace
}  // namespace caudal
