// Host memory of the CPU backend: how much there is and how buffers are made.
#pragma once

#include <cstddef>
#include <string>

#include "common/result.h"
#include "kernels/buffer.h"

namespace caudal {

// Bytes this process may use in all, and may still take: the machine's memory, lowered by every control
// group (v2, or a v1 memory group) above the process. `root` holds proc/ and sys/ ("" but for tests).
struct HostMemory {
  std::size_t total_bytes = 0;
  std::size_t free_bytes = 0;
};
HostMemory host_memory(const std::string& root = "");

// 64-byte aligned; huge pages are asked for from 4 MiB on. An Error when `bytes` exceeds the free memory.
Result<Buffer> allocate_host(std::size_t bytes);

}  // namespace caudal
