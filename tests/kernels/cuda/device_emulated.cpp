// Device memory of the emulation: the heap.
#include <cstdlib>
#include <cstring>

#include "kernels/cuda/emulation/simt/runtime.h"
#include "tests/kernels/cuda/device.h"
#include "tests/kernels/cuda/emulation.h"

namespace caudal::test {

// 256 bytes, as cudaMalloc; the request is not rounded up, so that its end is AddressSanitizer's.
void* device_allocate(std::size_t bytes) {
  void* memory = nullptr;
  return posix_memalign(&memory, 256, bytes) == 0 ? memory : nullptr;
}
void device_free(void* memory) { std::free(memory); }
void copy_to_device(void* device, const void* host, std::size_t bytes) { std::memcpy(device, host, bytes); }
void copy_to_host(void* host, const void* device, std::size_t bytes) { std::memcpy(host, device, bytes); }

bool has_device() { return true; }
bool on_emulation() { return true; }
int compute_capability() { return 90; }

void for_each_schedule(const std::function<void()>& body) {
  const simt::Config before = simt::config;
  struct Restore {
    simt::Config config;
    ~Restore() { simt::config = config; }
  } restore{before};
  body();
  if (simt::instrumentation() == simt::Instrumentation::kThread) return;
  simt::config.reverse = true;
  simt::config.async = simt::Async::kEarly;
  body();
  simt::config.reverse = false;
  simt::config.shuffle = true;
  simt::config.async = simt::Async::kRandom;
  const int num_seeds = simt::instrumentation() == simt::Instrumentation::kNone ? 6 : 1;
  for (int seed = 1; seed <= num_seeds; ++seed) {
    simt::config.seed = static_cast<std::uint64_t>(seed);
    body();
  }
}

Sanitizer sanitizer() {
  switch (simt::instrumentation()) {
    case simt::Instrumentation::kAddress:
      return Sanitizer::kAddress;
    case simt::Instrumentation::kThread:
      return Sanitizer::kThread;
    case simt::Instrumentation::kNone:
      break;
  }
  return Sanitizer::kNone;
}

bool catch_error(const std::function<bool()>& body, std::string* error) {
  try {
    return body();
  } catch (const simt::Error& caught) {
    *error = caught.what();
    return false;
  }
}

std::uint64_t count_bank_conflicts() { return simt::take_stats().bank_conflicts; }

void forbid(void* device, std::size_t bytes) { simt::poison(device, bytes); }
void allow(void* device, std::size_t bytes) { simt::unpoison(device, bytes); }

}  // namespace caudal::test
