// Where the op tests keep their tensors: memory that both the host and the device under test can read and write.
// CAUDAL_TEST_DEVICE names a device other than the CPU; test_memory_gpu.cpp has the memory for a real one.
#pragma once

#include <cstddef>
#include <vector>

namespace caudal {

#ifdef CAUDAL_TEST_DEVICE
inline constexpr const char* kTestDevice = CAUDAL_TEST_DEVICE;
#else
inline constexpr const char* kTestDevice = "cpu";
#endif

void* test_allocate(std::size_t bytes);
void test_free(void* memory);

template <typename T>
struct TestAllocator {
  using value_type = T;
  TestAllocator() = default;
  template <typename U>
  TestAllocator(const TestAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(test_allocate(n * sizeof(T))); }
  void deallocate(T* memory, std::size_t) { test_free(memory); }
  bool operator==(const TestAllocator&) const = default;
};

template <typename T>
using TestVector = std::vector<T, TestAllocator<T>>;
using TestBytes = TestVector<std::byte>;

}  // namespace caudal
