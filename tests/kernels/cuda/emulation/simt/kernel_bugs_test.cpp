// Bugs in copies of the project's own kernels: the cases of the kernels' tests must find each, by a wrong result, a
// kernel error, AddressSanitizer or ThreadSanitizer. Without a bug the copies pass, so that what is found is the bug.
#include "tests/kernels/cuda/emulation/simt/kernel_bugs.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/kernels/cuda/attention/attention_run.h"
#include "tests/kernels/cuda/emulation.h"
#include "tests/kernels/cuda/peer/peer_case.h"

namespace caudal::planted {
namespace {

using cuda::AttentionSpec;

bool peer_is_right() { return cuda::peer_sums_are_right<__nv_bfloat16>() && cuda::peer_sums_are_right<float>(); }

bool attention_is_right(const AttentionSpec& spec) { return cuda::attention_error(spec) < 6e-3; }
bool decode_is_right() {
  const AttentionSpec mix{{4, 2, 64, DType::kBF16}, {{1, 330}, {5, 70}, {1, 31}, {8, 8}}, 0, 0.0F, {2, 80, 164 << 10}};
  return attention_is_right(mix);
}
bool window_is_right() {
  const AttentionSpec spec{{4, 1, 64, DType::kBF16}, {{1, 200}, {3, 90}}, 37, 0.0F, {2, 80, 164 << 10}};
  return attention_is_right(spec);
}
bool split_is_right() {
  const AttentionSpec spec{{4, 1, 64, DType::kBF16}, {{1, 1501}, {1, 40}}, 0, 0.0F, {8, 80, 164 << 10}};
  return attention_is_right(spec);
}
bool hopper_is_right() {
  const AttentionSpec spec{{4, 1, 64, DType::kBF16}, {{100, 500}, {33, 33}}, 0, 0.0F, {2, 90, 228 << 10}};
  return attention_is_right(spec);
}

// Who must find it; `message` is of the plain runs.
struct Planted {
  const char* name;
  bool (*is_right)();
  KernelBug bug;
  bool plain, address, thread;
  const char* message = "";
};
const Planted kPlanted[] = {
    {"PeerFlagTooSoon", peer_is_right, KernelBug::kPeerFlagTooSoon, true, false, true},
    {"PeerReadTooSoon", peer_is_right, KernelBug::kPeerReadTooSoon, true, false, true},
    {"PeerOneHalf", peer_is_right, KernelBug::kPeerOneHalf, true, false, true},
    {"PeerRelaxedFlag", peer_is_right, KernelBug::kPeerRelaxedFlag, false, false, true},
    {"PeerLastCall", peer_is_right, KernelBug::kPeerLastCall, true, true, true},
    {"PeerOwnFirst", peer_is_right, KernelBug::kPeerOwnFirst, true, true, true, "a wrong result"},
    {"PeerShortTail", peer_is_right, KernelBug::kPeerShortTail, true, true, true, "a wrong result"},
    {"PeerLongTail", peer_is_right, KernelBug::kPeerLongTail, true, true, true},
    {"CausalLimit", decode_is_right, KernelBug::kCausalLimit, true, true, true},
    {"WindowStart", window_is_right, KernelBug::kWindowStart, true, true, true},
    {"MaskOneKeyLate", decode_is_right, KernelBug::kMaskOneKeyLate, true, true, true},
    {"MissingRescale", decode_is_right, KernelBug::kMissingRescale, true, true, true},
    {"LastPageLost", decode_is_right, KernelBug::kLastPageLost, true, true, true},
    {"StageReuse", decode_is_right, KernelBug::kStageReuse, false, false, true},
    {"PieceReuse", decode_is_right, KernelBug::kPieceReuse, true, false, true},
    {"MergeWeight", split_is_right, KernelBug::kMergeWeight, true, true, true},
    {"HopperCausalLimit", hopper_is_right, KernelBug::kCausalLimit, true, true, true},
    {"TmaPhase", hopper_is_right, KernelBug::kTmaPhase, true, true, true, "deadlock.*an mbarrier"},
    {"TmaMissingWait", hopper_is_right, KernelBug::kTmaMissingWait, true, true, true},
    {"TmaEarlyRelease", hopper_is_right, KernelBug::kTmaEarlyRelease, false, false, true},
    {"QueryFence", hopper_is_right, KernelBug::kQueryFence, false, false, true},
    {"TailNotZero", hopper_is_right, KernelBug::kTailNotZero, true, true, true},
};

TEST(KernelBugs, TheCopiesAreRightWithout) {
  for (bool (*is_right)() : {peer_is_right, decode_is_right, window_is_right, split_is_right, hopper_is_right})
    EXPECT_TRUE(is_right());
}

class KernelBugDeathTest : public testing::TestWithParam<Planted> {};
INSTANTIATE_TEST_SUITE_P(Bugs, KernelBugDeathTest, testing::ValuesIn(kPlanted),
                         [](const auto& info) { return std::string(info.param.name); });

// In a process of its own, because sanitizers end it: dies with what was found, or ends with 0.
void run_until_found(const Planted& planted) {
  kernel_bug = planted.bug;
  test::for_each_schedule([&] {
    std::string error;
    if (test::catch_error([&] { return planted.is_right(); }, &error)) return;
    std::fprintf(stderr, "found: %s\n", error.empty() ? "a wrong result" : error.c_str());
    std::_Exit(1);
  });
  std::_Exit(0);
}

TEST_P(KernelBugDeathTest, IsFound) {
  const Planted& planted = GetParam();
  testing::FLAGS_gtest_death_test_style = "fast";
  switch (test::sanitizer()) {
    case test::Sanitizer::kNone:
      if (!planted.plain) GTEST_SKIP() << "not to be found without a sanitizer";
      EXPECT_EXIT(run_until_found(planted), testing::ExitedWithCode(1), planted.message);
      break;
    case test::Sanitizer::kAddress:
      if (!planted.address) GTEST_SKIP() << "not AddressSanitizer's";
      EXPECT_DEATH(run_until_found(planted), "found:|AddressSanitizer|runtime error");
      break;
    case test::Sanitizer::kThread:
      if (!planted.thread) GTEST_SKIP() << "not ThreadSanitizer's";
      EXPECT_DEATH(run_until_found(planted), planted.plain && planted.address ? "found:|data race" : "data race");
      break;
  }
}

}  // namespace
}  // namespace caudal::planted
