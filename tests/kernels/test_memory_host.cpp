// The CPU's memory, and an emulated device's.
#include <cstdlib>

#include "tests/kernels/test_memory.h"

namespace caudal {

void* test_allocate(std::size_t bytes) { return std::malloc(bytes); }
void test_free(void* memory) { std::free(memory); }

}  // namespace caudal
