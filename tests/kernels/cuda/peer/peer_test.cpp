// The one-shot all-reduce: the same bits on all ranks, in every schedule, for every size and alignment of a tail; and a
// rank that does not come. Between processes it is tested by tests/worker/comm/peer_check.cpp.
#include <gtest/gtest.h>

#include <memory>

#include "tests/kernels/cuda/peer/peer_case.h"

namespace caudal::cuda {
namespace {

class PeerReduce : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::has_device()) GTEST_SKIP() << "needs a GPU";
  }
};

TEST_F(PeerReduce, SumsInRankOrderInEverySchedule) {
  test::for_each_schedule([] {
    EXPECT_TRUE(peer_sums_are_right<float>());
    EXPECT_TRUE(peer_sums_are_right<__nv_bfloat16>());
    EXPECT_TRUE(peer_sums_are_right<__half>());
  });
}

// Two ranks of a group of three: both say that the third is lost, and later calls wait no longer.
TEST_F(PeerReduce, ALostRankEndsAllWaits) {
  const std::size_t region_words = (kPeerPartsOffset + 2 * 4 * kMaxPeerBytes) / sizeof(std::uint32_t);
  std::vector<std::unique_ptr<test::DeviceArray<std::uint32_t>>> regions;
  PeerGroupCalls calls{};
  for (int r = 0; r < 4; ++r) {
    regions.push_back(std::make_unique<test::DeviceArray<std::uint32_t>>(region_words, 0U));
    calls.group.regions[r] = regions.back()->data();
  }
  const test::DeviceArray<std::uint32_t> lost(1, 0);
  const test::DeviceArray<float> data(64, 1.0F);
  const test::DeviceArray<int> sizes(10, 1), offsets(10, 0);
  calls.group.size = 4;  // of which only kGroupRanks run
  calls.group.lost = lost.data();
  calls.group.deadline_ns = 50'000'000;
  for (int r = 0; r < kGroupRanks; ++r) calls.data[r] = data.data() + 16 * r;
  calls.sizes = sizes.data(), calls.offsets = offsets.data(), calls.num_calls = 10;
  run_peer_group(calls, DType::kF32);
  EXPECT_EQ(lost.read()[0], 4U);  // 1 + the rank
}

}  // namespace
}  // namespace caudal::cuda
