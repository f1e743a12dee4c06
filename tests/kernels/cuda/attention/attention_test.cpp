// paged_attention of the CUDA backend against float64: head sizes, types, group sizes, mixes of contexts,
// windows, caps, split contexts, on every kernel. On a GPU the Hopper cases need a Hopper.
#include <gtest/gtest.h>

#include <string>

#include "tests/kernels/cuda/attention/attention_run.h"
#include "tests/kernels/cuda/emulation.h"

namespace caudal::cuda {
namespace {

// Barriers do not depend on the type, and hardly on the head size: ThreadSanitizer, which is slow, gets
// fewer.
bool hunts_races() { return test::sanitizer() == test::Sanitizer::kThread; }
std::vector<int> head_dims() { return hunts_races() ? std::vector{64, 256} : std::vector{64, 80, 96, 128, 256}; }
std::vector<int> hopper_head_dims() { return hunts_races() ? std::vector{64} : std::vector{64, 128, 256}; }
std::vector<DType> types() {
  return hunts_races() ? std::vector{DType::kBF16} : std::vector{DType::kBF16, DType::kF16};
}

// Few SMs, so that small batches are split and workers have several pieces.
constexpr AttentionDevice kSmallAmpere{2, 80, 164 << 10};
constexpr AttentionDevice kSmallHopper{2, 90, 228 << 10};

// The result's own rounding is 2^-9 or 2^-12; the weights' is as large, before the sum.
double tolerance(DType type) { return type == DType::kBF16 ? 6e-3 : 8e-4; }

void expect_close(const AttentionSpec& spec, const std::string& what) {
  const AttentionShape& shape = spec.shape;
  EXPECT_LT(attention_error(spec), tolerance(shape.dtype))
      << what << ": " << dtype_name(shape.dtype) << ", " << shape.num_heads << "/" << shape.num_kv_heads << " heads of "
      << shape.head_dim;
}

class CudaAttention : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::has_device()) GTEST_SKIP() << "needs a GPU";
  }
};

bool hopper_here() { return test::compute_capability() == 90; }

TEST_F(CudaAttention, DecodeOfEveryHeadSizeAndType) {
  for (const int head_dim : head_dims()) {
    for (const DType type : types()) {
      expect_close({{8, 2, head_dim, type}, {{1, 1}, {1, 330}, {2, 129}}, 0, 0.0F, kSmallAmpere}, "decode");
      expect_close({{8, 2, head_dim, type}, {{5, 70}, {1, 16}, {1, 31}, {8, 8}}, 37, 3.0F, kSmallAmpere}, "verify");
    }
  }
}

TEST_F(CudaAttention, DecodeOfEveryGroupSize) {
  for (const int group : {1, 4, 7, 8}) {
    expect_close({{2 * group, 2, 128, DType::kBF16}, {{1, 100}, {2, 33}, {1, 257}}, 0, 0.0F, kSmallAmpere}, "decode");
  }
}

TEST_F(CudaAttention, DecodeSplitsOneLongContext) {
  expect_close({{4, 1, 64, DType::kBF16}, {{1, 1999}}, 0, 0.0F, {8, 80, 164 << 10}}, "one");
  expect_close({{4, 1, 64, DType::kBF16}, {{1, 5}, {1, 1501}, {1, 700}, {1, 3}}, 0, 0.0F, {8, 80, 164 << 10}},
               "skewed");
  expect_close({{4, 1, 64, DType::kBF16}, {{1, 1501}, {1, 700}}, 333, 0.0F, {8, 80, 164 << 10}}, "window");
}

TEST_F(CudaAttention, PrefillOfEveryHeadSizeAndType) {
  for (const int head_dim : head_dims()) {
    for (const DType type : types()) {
      expect_close({{4, 2, head_dim, type}, {{70, 70}, {20, 150}}, 0, 0.0F, kSmallAmpere}, "prefill");
      expect_close({{7, 1, head_dim, type}, {{11, 101}, {20, 20}}, 37, 3.0F, kSmallAmpere}, "window and cap");
    }
  }
}

TEST_F(CudaAttention, PrefillOfEveryGroupSize) {
  for (const int group : {1, 4, 7, 8}) {
    expect_close({{group, 1, 64, DType::kBF16}, {{77, 90}}, 0, 0.0F, kSmallAmpere}, "prefill");
  }
}

TEST_F(CudaAttention, PrefillSplitsALongPrefix) {
  expect_close({{4, 1, 64, DType::kBF16}, {{16, 2100}}, 0, 0.0F, {8, 80, 164 << 10}}, "prefix");
}

TEST_F(CudaAttention, DecodesAndChunksInOneStep) {
  const std::vector<SequenceSpec> mix = {{1, 90}, {40, 100}, {1, 17}, {0, 50}, {3, 64}, {30, 30}};
  expect_close({{4, 2, 128, DType::kBF16}, mix, 0, 0.0F, kSmallAmpere}, "mix");
}

TEST_F(CudaAttention, HopperPrefillOfEveryHeadSizeAndType) {
  if (!hopper_here()) GTEST_SKIP() << "needs compute capability 9.0";
  for (const int head_dim : hopper_head_dims()) {
    for (const DType type : types()) {
      expect_close({{4, 2, head_dim, type}, {{70, 70}, {20, 150}}, 0, 0.0F, kSmallHopper}, "prefill");
      expect_close({{7, 1, head_dim, type}, {{11, 203}, {20, 20}}, 137, 3.0F, kSmallHopper}, "window and cap");
    }
  }
}

TEST_F(CudaAttention, HopperPrefillWalksManyPieces) {
  if (!hopper_here()) GTEST_SKIP() << "needs compute capability 9.0";
  expect_close({{4, 1, 64, DType::kBF16}, {{130, 200}, {16, 1300}, {1, 77}}, 0, 0.0F, kSmallHopper}, "pieces");
  expect_close({{8, 1, 64, DType::kBF16}, {{17, 1100}}, 0, 0.0F, {8, 90, 228 << 10}}, "split prefix");
}

TEST_F(CudaAttention, AnySchedule) {
  const std::vector<SequenceSpec> mix = {{1, 200}, {20, 50}, {2, 150}};
  test::for_each_schedule([&] {
    expect_close({{4, 2, 64, DType::kBF16}, mix, 0, 0.0F, kSmallAmpere}, "mma");
    if (hopper_here()) expect_close({{4, 1, 64, DType::kBF16}, {{40, 300}, {33, 33}}, 0, 0.0F, kSmallHopper}, "wgmma");
  });
}

}  // namespace
}  // namespace caudal::cuda
