// The stand-in for the CUDA runtime does what the backend's tests rely on: streams are lazy and in order, what CUDA
// forbids is refused, memory is counted, errors stay.
#include <cublasLt.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/cuda/emulation/fake/device.h"
#include "kernels/cuda/emulation/simt/runtime.h"

namespace caudal::fake {
namespace {

class FakeCuda : public testing::Test {
 protected:
  void SetUp() override {
    reset({});
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaMalloc(&device_, kBytes), cudaSuccess);
    ASSERT_EQ(cudaHostAlloc(&pinned_, kBytes, 0), cudaSuccess);
  }
  void TearDown() override {
    reset({});
    cudaStreamDestroy(stream_);
    cudaFree(device_);
    cudaFreeHost(pinned_);
    EXPECT_EQ(counters().device_bytes, 0U);
  }
  int* device() const { return static_cast<int*>(device_); }
  int* pinned() const { return static_cast<int*>(pinned_); }
  cudaError_t copy(void* to, const void* from) {
    return cudaMemcpyAsync(to, from, sizeof(int), cudaMemcpyDefault, stream_);
  }

  static constexpr std::size_t kBytes = 4096;
  cudaStream_t stream_ = nullptr;
  void* device_ = nullptr;
  void* pinned_ = nullptr;
};

TEST_F(FakeCuda, PinnedMemoryIsReadLateAndPageableIsKept) {
  int pageable = 1;
  *pinned() = 1;
  ASSERT_EQ(copy(device(), pinned()), cudaSuccess);
  ASSERT_EQ(copy(device() + 1, &pageable), cudaSuccess);
  *pinned() = pageable = 2;  // too soon for the first
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(device()[0], 2);
  EXPECT_EQ(device()[1], 1);
}

TEST_F(FakeCuda, NothingHappensUntilSomeoneWaits) {
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, 0), cudaSuccess);
  *pinned() = 7;
  *device() = 0;
  ASSERT_EQ(copy(device(), pinned()), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(device() + 1, 0, sizeof(int), stream_), cudaSuccess);
  EXPECT_EQ(*device(), 0);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);  // the copy is done, the event is not
  EXPECT_EQ(*device(), 7);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  EXPECT_EQ(device()[1], -1);
  EXPECT_EQ(cudaStreamQuery(stream_), cudaSuccess);
  EXPECT_EQ(device()[1], 0);
  cudaEventDestroy(event);
}

TEST_F(FakeCuda, AGraphRunsWhatWasRecordedOnWhatIsThere) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  *device() = 0;
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  ASSERT_EQ(copy(device(), pinned()), cudaSuccess);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 1), cudaErrorStreamCaptureUnsupported);
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(*device(), 0);
  for (int value : {3, 4}) {
    *pinned() = value;
    ASSERT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
    ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    EXPECT_EQ(*device(), value);
  }
  EXPECT_EQ(counters().graph_launches, 2);
  cudaGraphExecDestroy(exec);
}

TEST_F(FakeCuda, WaitingWhileCapturingSpoilsTheCapture) {
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
}

TEST_F(FakeCuda, MemoryEndsAndComesBack) {
  settings().memory_bytes = 1 << 20;
  void *first = nullptr, *second = nullptr;
  ASSERT_EQ(cudaMalloc(&first, 900'000), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&second, 900'000), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_EQ(cudaFree(first), cudaErrorInvalidValue);
  ASSERT_EQ(cudaMalloc(&second, 900'000), cudaSuccess);
  std::size_t free_bytes = 0, total_bytes = 0;
  ASSERT_EQ(cudaMemGetInfo(&free_bytes, &total_bytes), cudaSuccess);
  EXPECT_LT(free_bytes, 200'000U);
  cudaFree(second);
}

TEST_F(FakeCuda, ErrorsComeWhenAskedForAndABrokenKernelKillsTheContext) {
  settings().fail_call = "cudaMemcpyAsync";
  settings().fail_after = 1;
  settings().fail_with = cudaErrorIllegalAddress;
  EXPECT_EQ(copy(device(), pinned()), cudaSuccess);
  EXPECT_EQ(copy(device(), pinned()), cudaErrorIllegalAddress);
  EXPECT_EQ(copy(device(), pinned()), cudaSuccess);
  simt::launch(
      +[](int) { simt::fail("planted", simt::Loc::here()); }, dim3(1), dim3(1), 0, stream_, 0);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorLaunchFailure);
  EXPECT_EQ(copy(device(), pinned()), cudaErrorLaunchFailure);
}

TEST_F(FakeCuda, MatrixProductsHoldTheirPromises) {
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t a = nullptr, d = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  ASSERT_EQ(cublasLtCreate(&handle), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cublasLtMatrixLayoutCreate(&a, CUDA_R_32F, 2, 2, 2), CUBLAS_STATUS_SUCCESS);
  EXPECT_EQ(cublasLtMatrixLayoutCreate(&d, CUDA_R_32F, 3, 2, 2), CUBLAS_STATUS_INVALID_VALUE);
  ASSERT_EQ(cublasLtMatmulPreferenceCreate(&preference), CUBLAS_STATUS_SUCCESS);
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  ASSERT_EQ(cublasLtMatmulAlgoGetHeuristic(handle, desc, a, a, a, a, preference, 1, &found, &count),
            CUBLAS_STATUS_SUCCESS);
  auto* numbers = static_cast<float*>(device_);
  std::iota(numbers, numbers + 8, 1.0F);  // A = [1 3; 2 4], B = [5 7; 6 8] by columns
  const float one = 1.0F, zero = 0.0F;
  const auto multiply = [&](float* out) {
    return cublasLtMatmul(handle, desc, &one, numbers, a, numbers + 4, a, &zero, out, a, out, a, &found.algo, nullptr,
                          0, stream_);
  };
  EXPECT_EQ(multiply(numbers + 64), CUBLAS_STATUS_INVALID_VALUE);  // 256 bytes were promised for every operand
  const std::uint32_t four = 4;
  for (const auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                               CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    cublasLtMatmulPreferenceSetAttribute(preference, attribute, &four, sizeof four);
  cublasLtMatmulAlgoGetHeuristic(handle, desc, a, a, a, a, preference, 1, &found, &count);
  ASSERT_EQ(multiply(numbers + 64), CUBLAS_STATUS_SUCCESS);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(std::vector<float>(numbers + 64, numbers + 68), (std::vector<float>{23, 34, 31, 46}));
  cublasLtMatmulPreferenceDestroy(preference);
  cublasLtMatrixLayoutDestroy(a);
  cublasLtMatmulDescDestroy(desc);
  cublasLtDestroy(handle);
}

}  // namespace
}  // namespace caudal::fake
