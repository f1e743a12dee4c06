// Device memory of a GPU.
#include <cuda_runtime_api.h>

#include "common/check.h"
#include "tests/kernels/cuda/device.h"
#include "tests/kernels/cuda/emulation.h"

namespace caudal::test {

void* device_allocate(std::size_t bytes) {
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, bytes > 0 ? bytes : 1) == cudaSuccess);
  return memory;
}
void device_free(void* memory) { CHECK(cudaFree(memory) == cudaSuccess); }
void copy_to_device(void* device, const void* host, std::size_t bytes) {
  CHECK(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice) == cudaSuccess);
}
void copy_to_host(void* host, const void* device, std::size_t bytes) {
  const cudaError_t status = cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost);
  CHECK_MSG(status == cudaSuccess, cudaGetErrorString(status));
}

bool has_device() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}
bool on_emulation() { return false; }
int compute_capability() {
  int major = 0, minor = 0;
  CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess);
  CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0) == cudaSuccess);
  return 10 * major + minor;
}

void for_each_schedule(const std::function<void()>& body) { body(); }
Sanitizer sanitizer() { return Sanitizer::kNone; }
bool catch_error(const std::function<bool()>& body, std::string*) { return body(); }
std::uint64_t count_bank_conflicts() { return 0; }

void forbid(void*, std::size_t) {}
void allow(void*, std::size_t) {}

}  // namespace caudal::test
