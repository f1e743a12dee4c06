// CUDA IPC of the stand-in: device memory becomes pages of an anonymous file when its handle is asked for, and other
// processes map them by way of /proc. Needs an allocation of whole pages; the same process may not open its own.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "kernels/cuda/emulation/fake/device.h"

namespace caudal::fake {
namespace {

// What a handle says.
struct SharedPages {
  pid_t process = 0;
  int file = -1;
  std::size_t bytes = 0;
};
static_assert(sizeof(SharedPages) <= sizeof(cudaIpcMemHandle_t));

struct Registry {
  std::mutex mutex;
  std::map<const void*, SharedPages> shown, opened;
};
Registry& registry() {
  static Registry& one = *new Registry;
  return one;
}

// The contents stay, what is behind the addresses changes.
int move_to_file(void* memory, std::size_t bytes) {
  const std::vector<char> contents(static_cast<char*>(memory), static_cast<char*>(memory) + bytes);
  const int file = memfd_create("caudal-fake-gpu", MFD_CLOEXEC);
  if (file < 0) return -1;
  if (ftruncate(file, static_cast<off_t>(bytes)) != 0 ||
      mmap(memory, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED) {
    close(file);
    return -1;
  }
  std::memcpy(memory, contents.data(), bytes);
  return file;
}

}  // namespace

void stop_sharing(void* begin, std::size_t bytes) {
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().shown.find(begin);
  if (found == registry().shown.end()) return;
  mmap(begin, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);  // the heap's again
  close(found->second.file);
  registry().shown.erase(found);
}

}  // namespace caudal::fake

using namespace caudal::fake;

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* memory) {
  if (const cudaError_t entered = enter(__func__); entered != cudaSuccess) return entered;
  const std::size_t bytes = allocation_bytes(memory);
  if (bytes == 0 || bytes % static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) != 0) return cudaErrorInvalidValue;
  const std::lock_guard lock(registry().mutex);
  SharedPages& pages = registry().shown[memory];
  if (pages.file < 0) pages = {getpid(), move_to_file(memory, bytes), bytes};
  if (pages.file < 0) return cudaErrorMapBufferObjectFailed;
  *handle = {};
  std::memcpy(handle->reserved, &pages, sizeof pages);
  return cudaSuccess;
}

cudaError_t cudaIpcOpenMemHandle(void** memory, cudaIpcMemHandle_t handle, unsigned) {
  if (const cudaError_t entered = enter(__func__); entered != cudaSuccess) return entered;
  SharedPages pages;
  std::memcpy(&pages, handle.reserved, sizeof pages);
  if (pages.process == getpid()) return cudaErrorDeviceUninitialized;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/fd/%d", static_cast<int>(pages.process), pages.file);
  const int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return cudaErrorInvalidResourceHandle;
  void* mapped = mmap(nullptr, pages.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (mapped == MAP_FAILED) return cudaErrorMapBufferObjectFailed;
  const std::lock_guard lock(registry().mutex);
  registry().opened[mapped] = pages;
  add_foreign_memory(mapped, pages.bytes);
  *memory = mapped;
  return cudaSuccess;
}

cudaError_t cudaIpcCloseMemHandle(void* memory) {
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().opened.find(memory);
  if (found == registry().opened.end()) return cudaErrorInvalidValue;
  remove_foreign_memory(memory);
  munmap(memory, found->second.bytes);
  registry().opened.erase(found);
  return cudaSuccess;
}
