// What a GPU can do, measured: the yardsticks of the CUDA benchmarks. Failures throw.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>

namespace caudal::bench {

void check(cudaError_t status);

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes);
  DeviceMemory(DeviceMemory&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
  DeviceMemory& operator=(DeviceMemory&&) = delete;
  ~DeviceMemory();
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

// Roughly normal, different in every element: zeros would run faster than real data.
void fill_random_bf16(void* memory, std::size_t elements);

// Median over repetitions of the time of `work` on the default stream, by events; warmed up.
double median_seconds(const std::function<void()>& work);

double measure_read_bandwidth();  // bytes per second of a kernel that only reads 4 GiB
double measure_matmul_flops();    // cuBLASLt, bf16, 8192 x 8192 x 8192
}  // namespace caudal::bench
