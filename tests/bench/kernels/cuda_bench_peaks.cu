// Yardsticks: a kernel that only reads, and cuBLASLt's product.
#include "tests/bench/kernels/cuda_bench_peaks.h"

#include <cublasLt.h>
#include <cuda_bf16.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "kernels/cuda/emulation/simt/simt.h"

namespace caudal::bench {
namespace {

constexpr std::size_t kReadBytes = std::size_t{4} << 30;
constexpr int kSide = 8192;

__global__ void __launch_bounds__(256) fill_kernel(__nv_bfloat16* out, std::size_t elements) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < elements; i += stride) {
    std::uint64_t x = (i + 1) * 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 31)) * 0xBF58476D1CE4E5B9ULL;
    float sum = -6.0F;  // of four uniform numbers: variance 4 * 9 / 12
    for (int k = 0; k < 4; ++k) sum += 3.0F * static_cast<float>(x >> (16 * k) & 0xFFFF) / 65536.0F;
    out[i] = __float2bfloat16(sum * 0.577F);
  }
}

// Every 16 bytes once, four loads in flight per thread; the sum is stored only if it is impossible.
__global__ void __launch_bounds__(512) read_kernel(const uint4* data, std::size_t count, std::uint32_t* out) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * blockDim.x;
  std::uint32_t sum = 0;
  std::size_t i = static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i + 3 * stride < count; i += 4 * stride) {
    uint4 part[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) part[k] = data[i + k * stride];
#pragma unroll
    for (int k = 0; k < 4; ++k) sum |= part[k].x | part[k].y | part[k].z | part[k].w;
  }
  for (; i < count; i += stride) sum |= data[i].x;
  if (sum == 0) *out = sum;
}

void check(cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS) throw std::runtime_error(cublasLtGetStatusString(status));
}

}  // namespace

void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

DeviceMemory::DeviceMemory(std::size_t bytes) { check(cudaMalloc(&data_, std::max<std::size_t>(bytes, 256))); }
DeviceMemory::~DeviceMemory() {
  if (data_ != nullptr) cudaFree(data_);
}

void fill_random_bf16(void* memory, std::size_t elements) {
  simt::launch(fill_kernel, 1024, 256, 0, nullptr, static_cast<__nv_bfloat16*>(memory), elements);
  check(cudaDeviceSynchronize());
}

double median_seconds(const std::function<void()>& work) {
  cudaEvent_t begin = nullptr, end = nullptr;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  std::vector<double> seconds;
  for (int run = 0; run < 13; ++run) {
    constexpr int kCalls = 5;  // hides the gap before the first
    check(cudaEventRecord(begin, nullptr));
    for (int call = 0; call < kCalls; ++call) work();
    check(cudaEventRecord(end, nullptr));
    check(cudaEventSynchronize(end));
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin, end));
    if (run >= 2) seconds.push_back(static_cast<double>(ms) / 1e3 / kCalls);
  }
  check(cudaEventDestroy(begin));
  check(cudaEventDestroy(end));
  std::nth_element(seconds.begin(), seconds.begin() + std::ssize(seconds) / 2, seconds.end());
  return seconds[seconds.size() / 2];
}

double measure_read_bandwidth() {
  const DeviceMemory data(kReadBytes), out(256);
  fill_random_bf16(data.data(), kReadBytes / 2);
  int sms = 0;
  check(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0));
  const double seconds = median_seconds([&] {
    simt::launch(read_kernel, static_cast<unsigned>(sms * 4), 512, 0, nullptr, static_cast<const uint4*>(data.data()),
                 kReadBytes / 16, static_cast<std::uint32_t*>(out.data()));
  });
  return static_cast<double>(kReadBytes) / seconds;
}

double measure_matmul_flops() {
  constexpr std::size_t kElements = static_cast<std::size_t>(kSide) * kSide, kWorkspace = 64 << 20;
  const DeviceMemory a(kElements * 2), b(kElements * 2), c(kElements * 2), workspace(kWorkspace);
  fill_random_bf16(a.data(), kElements);
  fill_random_bf16(b.data(), kElements);
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t layout = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  const cublasOperation_t transpose = CUBLAS_OP_T;
  check(cublasLtCreate(&handle));
  check(cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  check(cublasLtMatmulDescSetAttribute(product, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof transpose));
  check(cublasLtMatrixLayoutCreate(&layout, CUDA_R_16BF, kSide, kSide, kSide));
  check(cublasLtMatmulPreferenceCreate(&preference));
  check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace,
                                             sizeof kWorkspace));
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  check(cublasLtMatmulAlgoGetHeuristic(handle, product, layout, layout, layout, layout, preference, 1, &best, &found));
  if (found == 0) throw std::runtime_error("cuBLASLt has no algorithm for a bf16 product");
  const float one = 1.0F, zero = 0.0F;
  const double seconds = median_seconds([&] {
    check(cublasLtMatmul(handle, product, &one, a.data(), layout, b.data(), layout, &zero, c.data(), layout, c.data(),
                         layout, &best.algo, workspace.data(), kWorkspace, nullptr));
  });
  cublasLtMatmulPreferenceDestroy(preference);
  cublasLtMatrixLayoutDestroy(layout);
  cublasLtMatmulDescDestroy(product);
  cublasLtDestroy(handle);
  return 2.0 * kSide * kSide * kSide / seconds;
}

}  // namespace caudal::bench
