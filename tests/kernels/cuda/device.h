// Device memory for tests of kernels. The same bodies run on the emulation, where the device's memory is the
// heap (each array a block of its own, so AddressSanitizer sees its ends), and on a GPU: device_emulated.cpp and
// device_gpu.cpp define these functions, and the linker chooses.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace caudal::test {

void* device_allocate(std::size_t bytes);
void device_free(void* memory);
void copy_to_device(void* device, const void* host, std::size_t bytes);
void copy_to_host(void* host, const void* device, std::size_t bytes);  // after all kernels before it

bool has_device();  // false only in a GPU build on a machine without one
bool on_emulation();
int compute_capability();  // 90 for Hopper; the emulation has its instructions

// Runs `body` under the schedules of the emulation: in order, reversed, early copies, and shuffled; once on a GPU,
// and once with ThreadSanitizer, which needs no luck.
void for_each_schedule(const std::function<void()>& body);

// Accesses to these bytes are errors from now on, where AddressSanitizer watches.
void forbid(void* device, std::size_t bytes);
void allow(void* device, std::size_t bytes);

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values)
      : size_(values.size()), data_(static_cast<T*>(device_allocate(size_ * sizeof(T)))) {
    if (size_ > 0) copy_to_device(data_, values.data(), size_ * sizeof(T));
  }
  DeviceArray(std::size_t size, T value) : DeviceArray(std::vector<T>(size, value)) {}
  ~DeviceArray() {
    allow(data_, size_ * sizeof(T));
    device_free(data_);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::vector<T> read() const {
    std::vector<T> values(size_);
    if (size_ > 0) copy_to_host(values.data(), data_, size_ * sizeof(T));
    return values;
  }

 private:
  std::size_t size_;
  T* data_;
};

}  // namespace caudal::test
