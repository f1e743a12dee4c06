// Reads /proc/meminfo and the control group files, and allocates. A request that the machine cannot hold is
// refused up front: Linux would grant it and kill the process at the first write.
#include "kernels/cpu/memory.h"

#include <fmt/core.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>

namespace caudal {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kHugePageThreshold = 2 * kHugePage;  // below, rounding up would waste too much

// "MemAvailable:   123 kB" -> bytes
std::size_t meminfo_bytes(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  std::size_t kib = 0;
  while (file >> word) {
    if (word == key && file >> kib) return kib * 1024;
  }
  return 0;
}

// Empty when the file is missing or says "max".
std::optional<std::size_t> read_bytes(const std::string& path) {
  std::ifstream file(path);
  std::size_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

void lower(HostMemory& memory, std::optional<std::size_t> limit, std::optional<std::size_t> used) {
  if (!limit) return;
  memory.total_bytes = std::min(memory.total_bytes, *limit);
  memory.free_bytes = std::min(memory.free_bytes, *limit - std::min(*limit, used.value_or(0)));
}

// The process's own group and all above it: "/a/b", "/a", "".
void apply_groups(HostMemory& memory, const std::string& mount, std::string group, const char* limit,
                  const char* used) {
  while (true) {
    if (group == "/") group.clear();
    lower(memory, read_bytes(mount + group + "/" + limit), read_bytes(mount + group + "/" + used));
    if (group.empty()) return;
    group.resize(group.find_last_of('/') == std::string::npos ? 0 : group.find_last_of('/'));
  }
}

}  // namespace

HostMemory host_memory(const std::string& root) {
  HostMemory memory;
  memory.total_bytes = meminfo_bytes(root + "/proc/meminfo", "MemTotal:");
  memory.free_bytes = meminfo_bytes(root + "/proc/meminfo", "MemAvailable:");
  std::ifstream groups(root + "/proc/self/cgroup");  // "0::/path" (v2) or "7:memory:/path" (v1)
  for (std::string line; std::getline(groups, line);) {
    const std::size_t colon = line.find(':'), second = line.find(':', colon + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(colon + 1, second - colon - 1), path = line.substr(second + 1);
    if (controllers.empty()) {
      apply_groups(memory, root + "/sys/fs/cgroup", path, "memory.max", "memory.current");
    } else if (controllers == "memory") {
      apply_groups(memory, root + "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes");
    }
  }
  return memory;
}

Result<Buffer> allocate_host(std::size_t bytes) {
  const std::size_t free_bytes = host_memory().free_bytes;
  if (bytes > free_bytes) {
    return Error{fmt::format("{} MiB of memory were asked for and {} MiB are free", bytes >> 20, free_bytes >> 20), ""};
  }
  const std::size_t alignment = bytes >= kHugePageThreshold ? kHugePage : kCacheLine;
  const std::size_t rounded = std::max(alignment, (bytes + alignment - 1) / alignment * alignment);
  void* data = std::aligned_alloc(alignment, rounded);
  if (data == nullptr) return Error{fmt::format("{} MiB of memory could not be allocated", bytes >> 20), ""};
  if (alignment == kHugePage) madvise(data, rounded, MADV_HUGEPAGE);  // advice: failing costs speed only
  return Buffer(data, bytes, [](void* p) { std::free(p); });
}

}  // namespace caudal
