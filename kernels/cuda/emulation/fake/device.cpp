// The fake device: settings, errors, memory, properties.
#include "kernels/cuda/emulation/fake/device.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <sstream>

namespace caudal::fake {
namespace {

struct Allocation {
  std::size_t bytes = 0;
  int device = 0;  // -1: pinned host memory
};

struct State {
  std::mutex mutex;  // ranks may be threads
  Settings settings;
  Counters counters;
  std::map<const char*, Allocation> allocations;
  std::map<int, std::size_t> used;
  cudaError_t dead = cudaSuccess;

  State() {
    std::istringstream text(std::getenv("CAUDAL_SIMT") == nullptr ? "" : std::getenv("CAUDAL_SIMT"));
    for (std::string entry; std::getline(text, entry, ',');) set(entry.substr(0, entry.find('=')), entry);
  }

  void set(const std::string& name, const std::string& entry) {
    const std::string value = entry.substr(std::min(entry.size(), name.size() + 1));
    const int number = std::atoi(value.c_str());
    if (name == "devices") settings.devices = number;
    if (name == "compute_capability") settings.compute_capability = number;
    if (name == "memory_mib") settings.memory_bytes = static_cast<std::size_t>(number) << 20;
    if (name == "peer_access") settings.peer_access = number != 0;
    if (name == "split_sums") settings.split_sums = number != 0;
    if (name == "fail_call") settings.fail_call = value;
    if (name == "fail_after") settings.fail_after = number;
    if (name == "fail_with") settings.fail_with = static_cast<cudaError_t>(number);
  }

  const Allocation* find(const char* pointer, std::size_t bytes) const {
    auto next = allocations.upper_bound(pointer);
    if (next == allocations.begin()) return nullptr;
    const auto& [begin, allocation] = *--next;
    return pointer + bytes <= begin + allocation.bytes ? &allocation : nullptr;
  }
};

State& state() {
  static State& one = *new State;  // outlives whatever static the backend is in
  return one;
}

thread_local int current_device = 0;
constexpr std::size_t kPageBytes = 4096;

cudaError_t allocate(void** out, std::size_t bytes, int device) {
  if (bytes == 0) return cudaErrorInvalidValue;
  if (is_capturing()) return cudaErrorStreamCaptureUnsupported;
  const std::size_t rounded = (bytes + 511) / 512 * 512;
  const std::size_t alignment = rounded % kPageBytes == 0 ? kPageBytes : 512;  // whole pages can be shared
  if (device >= 0 && !take_memory(rounded)) return cudaErrorMemoryAllocation;
  void* memory = std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) return cudaErrorMemoryAllocation;
  std::memset(memory, 0xFF, rounded);  // NaN in every float type: reading what nobody wrote shows
  const std::lock_guard lock(state().mutex);
  state().allocations[static_cast<const char*>(memory)] = {device >= 0 ? rounded : bytes, device};
  *out = memory;
  return cudaSuccess;
}

cudaError_t release(void* pointer, bool device) {
  if (pointer == nullptr) return cudaSuccess;
  Allocation allocation;
  {
    const std::lock_guard lock(state().mutex);
    const auto found = state().allocations.find(static_cast<const char*>(pointer));
    if (found == state().allocations.end() || (found->second.device >= 0) != device) return cudaErrorInvalidValue;
    allocation = found->second;
    state().allocations.erase(found);
  }
  if (device) {
    stop_sharing(pointer, allocation.bytes);
    give_memory(allocation.device, allocation.bytes);
  }
  std::free(pointer);
  return cudaSuccess;
}

}  // namespace

Settings& settings() { return state().settings; }

void reset(const Settings& to) {
  const std::lock_guard lock(state().mutex);
  state().settings = to;
  state().counters = {};
  state().dead = cudaSuccess;
}

Counters counters() {
  const std::lock_guard lock(state().mutex);
  Counters now = state().counters;
  for (const auto& [device, bytes] : state().used) now.device_bytes += bytes;
  return now;
}

cudaError_t enter(const char* call) {
  const std::lock_guard lock(state().mutex);
  if (state().dead != cudaSuccess) return state().dead;
  Settings& now = state().settings;
  if (now.devices < 0) return cudaErrorInsufficientDriver;
  if (now.devices == 0) return cudaErrorNoDevice;
  if (now.fail_call != call || now.fail_after-- > 0) return cudaSuccess;
  now.fail_call.clear();
  return now.fail_with;
}

bool context_is_dead() {
  const std::lock_guard lock(state().mutex);
  return state().dead != cudaSuccess;
}

void kill_context(cudaError_t error) {
  const std::lock_guard lock(state().mutex);
  if (state().dead == cudaSuccess) state().dead = error;
}

void count_launch() {
  const std::lock_guard lock(state().mutex);
  ++state().counters.launches;
}

void count_slow_product() {
  const std::lock_guard lock(state().mutex);
  ++state().counters.slow_products;
}

void count_graph_launch() {
  const std::lock_guard lock(state().mutex);
  ++state().counters.graph_launches;
}

void count_work() {
  const std::lock_guard lock(state().mutex);
  ++state().counters.works;
}

void count_wait() {
  const std::lock_guard lock(state().mutex);
  ++state().counters.waits;
}

bool take_memory(std::size_t bytes) {
  const std::lock_guard lock(state().mutex);
  std::size_t& used = state().used[current_device];
  if (used + bytes > state().settings.memory_bytes) return false;
  used += bytes;
  return true;
}

void give_memory(int device, std::size_t bytes) {
  const std::lock_guard lock(state().mutex);
  state().used[device] -= bytes;
}

bool is_pinned(const void* pointer) {
  const std::lock_guard lock(state().mutex);
  const Allocation* found = state().find(static_cast<const char*>(pointer), 1);
  return found != nullptr && found->device < 0;
}

bool is_device_memory(const void* pointer, std::size_t bytes) {
  const std::lock_guard lock(state().mutex);
  const Allocation* found = state().find(static_cast<const char*>(pointer), bytes);
  return found != nullptr && found->device >= 0;
}

std::size_t allocation_bytes(const void* begin) {
  const std::lock_guard lock(state().mutex);
  const auto found = state().allocations.find(static_cast<const char*>(begin));
  return found != state().allocations.end() && found->second.device >= 0 ? found->second.bytes : 0;
}

void add_foreign_memory(const void* begin, std::size_t bytes) {
  const std::lock_guard lock(state().mutex);
  state().allocations[static_cast<const char*>(begin)] = {bytes, current_device};
}

void remove_foreign_memory(const void* begin) {
  const std::lock_guard lock(state().mutex);
  state().allocations.erase(static_cast<const char*>(begin));
}

}  // namespace caudal::fake

using namespace caudal::fake;

#define ENTER() \
  if (const cudaError_t entered = enter(__func__); entered != cudaSuccess) return entered

cudaError_t cudaGetDeviceCount(int* count) {
  ENTER();
  *count = settings().devices;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  ENTER();
  if (device < 0 || device >= settings().devices) return cudaErrorInvalidDevice;
  current_device = device;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  ENTER();
  *device = current_device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* out, int device) {
  ENTER();
  if (device < 0 || device >= settings().devices) return cudaErrorInvalidDevice;
  *out = {};
  std::snprintf(out->name, sizeof out->name, "Emulated GPU");
  out->totalGlobalMem = settings().memory_bytes;
  out->major = settings().compute_capability / 10;
  out->minor = settings().compute_capability % 10;
  out->multiProcessorCount = 4;
  out->sharedMemPerBlockOptin = 227 << 10;
  out->sharedMemPerMultiprocessor = 228 << 10;
  out->l2CacheSize = 4 << 20;
  out->pciBusID = device + 1;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = settings().devices < 0 ? 12020 : CUDART_VERSION;  // answers also when nothing else does
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  ENTER();
  const std::lock_guard lock(state().mutex);
  *total_bytes = state().settings.memory_bytes;
  *free_bytes = *total_bytes - state().used[current_device];
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** out, std::size_t bytes) {
  ENTER();
  return allocate(out, bytes, current_device);
}

cudaError_t cudaHostAlloc(void** out, std::size_t bytes, unsigned) {
  ENTER();
  return allocate(out, bytes, -1);
}

cudaError_t cudaFree(void* pointer) { return release(pointer, true); }
cudaError_t cudaFreeHost(void* pointer) { return release(pointer, false); }

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  ENTER();
  *can = device != peer && settings().peer_access;
  return cudaSuccess;
}

// "0000:02:00.0" is device 1.
cudaError_t cudaDeviceGetByPCIBusId(int* device, const char* bus_id) {
  ENTER();
  unsigned domain = 0, bus = 0;
  if (std::sscanf(bus_id, "%x:%x:", &domain, &bus) != 2 || bus == 0 || static_cast<int>(bus) > settings().devices)
    return cudaErrorInvalidDevice;
  *device = static_cast<int>(bus) - 1;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return cudaSuccess; }

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    default:
      return "cudaErrorUnknown";
  }
}

const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
