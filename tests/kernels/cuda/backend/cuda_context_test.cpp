// What the host sees of a GPU that is missing, slow, broken or fine.
#include "kernels/cuda/backend/cuda_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "kernels/cuda/emulation/fake/device.h"

namespace caudal::cuda {
namespace {

using testing::HasSubstr;

class CudaContextTest : public testing::Test {
 protected:
  void TearDown() override { fake::reset({}); }
  static std::string error_with(const fake::Settings& settings, int gpu = 0) {
    fake::reset(settings);
    const auto context = CudaContext::create(gpu);
    return context ? "" : context.error().message;
  }
  static std::unique_ptr<CudaContext> make() { return std::move(CudaContext::create(0)).value(); }
  static void queue_naps(CudaContext& context, int count) {
    for (int i = 0; i < count; ++i)
      cudaLaunchHostFunc(
          context.stream(), [](void*) { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }, nullptr);
  }
};

TEST_F(CudaContextTest, SaysWhatIsMissing) {
  fake::Settings settings;
  EXPECT_EQ(error_with(settings), "");
  settings.devices = 0;
  EXPECT_THAT(error_with(settings), HasSubstr("no NVIDIA GPU can be used"));
  settings.devices = -1;
  EXPECT_THAT(error_with(settings), HasSubstr("driver is too old: it serves CUDA 12.2, this build needs CUDA 13"));
  settings.devices = 2;
  EXPECT_THAT(error_with(settings, 2), HasSubstr("GPU 2 was asked for and this host has 2"));
  settings.compute_capability = 75;
  EXPECT_THAT(error_with(settings), HasSubstr("has compute capability 7.5; at least 8.0 is needed"));
  settings.compute_capability = 80;
  for (const char* call : {"cudaSetDevice", "cudaStreamCreateWithFlags", "cudaHostAlloc", "cudaEventCreateWithFlags"}) {
    settings.fail_call = call;
    settings.fail_with = cudaErrorMemoryAllocation;
    EXPECT_THAT(error_with(settings), HasSubstr("cudaErrorMemoryAllocation")) << call;
  }
  EXPECT_EQ(fake::counters().device_bytes, 0U);
}

// Many times the ring, without waiting: what is staged must not be written over before the device has read it.
TEST_F(CudaContextTest, StagedMemoryIsSafeUntilItIsRead) {
  const std::unique_ptr<CudaContext> context = make();
  constexpr std::size_t kNumbers = 3000, kRounds = 2000;
  void* device = nullptr;
  ASSERT_EQ(cudaMalloc(&device, kRounds * sizeof(int)), cudaSuccess);
  for (std::size_t round = 0; round < kRounds; ++round) {
    auto* staged = reinterpret_cast<int*>(context->stage(kNumbers * sizeof(int)));
    staged[kNumbers - 1] = static_cast<int>(round);
    ASSERT_EQ(cudaMemcpyAsync(static_cast<int*>(device) + round, staged + kNumbers - 1, sizeof(int), cudaMemcpyDefault,
                              context->stream()),
              cudaSuccess);
  }
  context->synchronize();
  for (std::size_t round = 0; round < kRounds; ++round)
    ASSERT_EQ(static_cast<int*>(device)[round], static_cast<int>(round));
  cudaFree(device);
}

TEST_F(CudaContextTest, AWaitEndsAtTheDeadline) {
  const std::unique_ptr<CudaContext> context = make();
  context->set_deadline(std::chrono::milliseconds(6));
  queue_naps(*context, 50);
  context->synchronize();
  ASSERT_TRUE(context->failure());
  EXPECT_THAT(context->failure()->message, HasSubstr("GPU 0 did not finish in 6 ms"));
}

TEST_F(CudaContextTest, AWaitEndsWhenTheWatchSaysSo) {
  const std::unique_ptr<CudaContext> context = make();
  context->set_watch(context.get(), [] { return std::optional(Error{"a rank is lost", ""}); });
  queue_naps(*context, 50);
  context->synchronize();
  ASSERT_TRUE(context->failure());
  EXPECT_EQ(context->failure()->message, "a rank is lost");
}

TEST_F(CudaContextTest, TheFirstErrorStays) {
  const std::unique_ptr<CudaContext> context = make();
  EXPECT_FALSE(context->check(cudaErrorIllegalAddress, "the step"));
  EXPECT_FALSE(context->check(cudaErrorInvalidValue, "something later"));
  EXPECT_THAT(context->failure()->message, HasSubstr("the step on GPU 0 failed: cudaErrorIllegalAddress"));
  context->synchronize();  // returns
}

}  // namespace
}  // namespace caudal::cuda
