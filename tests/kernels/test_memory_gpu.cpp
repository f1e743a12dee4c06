// Pinned host memory: a GPU reads and writes it in place, so that the test bodies need not copy.
#include <cuda_runtime_api.h>

#include "common/check.h"
#include "tests/kernels/test_memory.h"

namespace caudal {

void* test_allocate(std::size_t bytes) {
  void* memory = nullptr;
  CHECK(cudaHostAlloc(&memory, bytes > 0 ? bytes : 1, cudaHostAllocMapped | cudaHostAllocPortable) == cudaSuccess);
  return memory;
}
void test_free(void* memory) { cudaFreeHost(memory); }

}  // namespace caudal
