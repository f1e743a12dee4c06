#include "kernels/cuda/backend/cuda_context.h"

#include <fmt/core.h>

#include <algorithm>
#include <thread>

#include "common/check.h"

namespace caudal::cuda {
namespace {

constexpr int kLowestCapability = 80;  // mma.sync of bf16, cp.async
constexpr std::chrono::milliseconds kWatchInterval{1};
constexpr unsigned kQueriesPerYield = 256;

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

Error no_device(cudaError_t status) {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return {"no NVIDIA GPU can be used: no NVIDIA driver is installed", "device"};
  if (status == cudaErrorInsufficientDriver) {
    return {fmt::format("the NVIDIA driver is too old: it serves CUDA {}, this build needs CUDA {}",
                        version_text(driver), version_text(runtime)),
            "device"};
  }
  return {fmt::format("no NVIDIA GPU can be used: {}", cudaGetErrorString(status)), "device"};
}

Result<cudaDeviceProp> usable_device(int device) {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) return no_device(status);
  if (device >= count) return Error{fmt::format("GPU {} was asked for and this host has {}", device, count), "gpu"};
  cudaDeviceProp properties{};
  if (const cudaError_t status = cudaGetDeviceProperties(&properties, device); status != cudaSuccess)
    return no_device(status);
  if (10 * properties.major + properties.minor < kLowestCapability) {
    return Error{fmt::format("{} has compute capability {}.{}; at least {}.{} is needed", properties.name,
                             properties.major, properties.minor, kLowestCapability / 10, kLowestCapability % 10),
                 "device"};
  }
  return properties;
}

}  // namespace

Result<std::unique_ptr<CudaContext>> CudaContext::create(int device) {
  Result<cudaDeviceProp> properties = usable_device(device);
  if (!properties) return properties.error();
  std::unique_ptr<CudaContext> context(new CudaContext(device, properties.value()));
  if (Result<void> opened = context->open(); !opened) return opened.error();
  return context;
}

Result<void> CudaContext::open() {
  void* ring = nullptr;
  check(cudaSetDevice(device_), "choosing the GPU");
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  check(cudaEventCreateWithFlags(&all_done_, cudaEventDisableTiming), "making an event");
  check(cudaHostAlloc(&ring, kSections * kStageBytes, cudaHostAllocPortable), "pinning host memory");
  ring_ = static_cast<std::byte*>(ring);
  for (std::size_t i = 0; i < kSections; ++i) {
    sections_[i].memory = ring_ + i * kStageBytes;
    check(cudaEventCreateWithFlags(&sections_[i].left, cudaEventDisableTiming), "making an event");
  }
  if (failure_) return *failure_;
  return {};
}

CudaContext::~CudaContext() {
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
  if (all_done_ != nullptr) cudaEventDestroy(all_done_);
  for (const Section& section : sections_)
    if (section.left != nullptr) cudaEventDestroy(section.left);
  cudaFreeHost(ring_);
  for (const Results& results : results_) {
    if (results.ready != nullptr) cudaEventDestroy(results.ready);
    cudaFreeHost(results.memory);
  }
}

bool CudaContext::check(cudaError_t status, const char* what) {
  if (status != cudaSuccess)
    fail(fmt::format("{} on GPU {} failed: {} ({})", what, device_, cudaGetErrorString(status),
                     cudaGetErrorName(status)));
  return !failure_;
}

void CudaContext::fail(std::string message) {
  if (!failure_) failure_ = Error{std::move(message), "device"};
}

void CudaContext::look() {
  for (const auto& [who, watch] : watches_)
    if (const std::optional<Error> lost = watch()) fail(lost->message);
}

Error CudaContext::recover() {
  const Error error = *failure_;
  failure_.reset();
  cudaGetLastError();
  synchronize();
  return error;
}

// A spinning wait: a decode step lasts milliseconds, and a sleeping thread would wake up late in each. The core is
// offered to others now and then, because on a busy machine each offer costs a time slice.
template <typename Query>
void CudaContext::poll(Query query) {
  const auto begin = std::chrono::steady_clock::now();
  auto next_look = begin + kWatchInterval;
  for (unsigned asked = 1; !failure_; ++asked) {
    const cudaError_t status = query();
    if (status == cudaSuccess) return look();
    if (status != cudaErrorNotReady) {
      check(status, "the step");
      return;
    }
    if (asked % kQueriesPerYield == 0) std::this_thread::yield();
    const auto now = std::chrono::steady_clock::now();
    if (now < next_look) continue;
    next_look = now + kWatchInterval;
    if (now - begin > deadline_) fail(fmt::format("GPU {} did not finish in {} ms", device_, deadline_.count()));
    look();
  }
}

void CudaContext::set_watch(const void* who, Watch watch) {
  if (watch) {
    watches_[who] = std::move(watch);
  } else {
    watches_.erase(who);
  }
}

void CudaContext::glance() {
  if (failure_) return;
  if (const cudaError_t status = cudaStreamQuery(stream_); status != cudaErrorNotReady) check(status, "the step");
  look();
}

void CudaContext::synchronize() {
  if (failure_ || !check(cudaEventRecord(all_done_, stream_), "recording an event")) return;
  wait(all_done_);
}

void CudaContext::wait(cudaEvent_t event) {
  poll([event] { return cudaEventQuery(event); });
}

std::byte* CudaContext::stage(std::size_t bytes) {
  CHECK(bytes <= kStageBytes);
  constexpr std::size_t kAlignment = 256;
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (used_ + rounded > kStageBytes) {
    Section& old = sections_[section_];
    old.in_use = check(cudaEventRecord(old.left, stream_), "recording an event");
    section_ = (section_ + 1) % kSections;
    used_ = 0;
    if (sections_[section_].in_use) wait(sections_[section_].left);
  }
  std::byte* memory = sections_[section_].memory + used_;
  used_ += rounded;
  return memory;
}

CudaContext::ResultsPtr CudaContext::take_results(std::size_t bytes) {
  auto free = std::ranges::find_if(results_, [&](const Results& r) { return !r.taken && r.bytes >= bytes; });
  if (free == results_.end()) {
    keep_results(results_.size() + 1, bytes);
    if (failure_) return nullptr;
    free = std::prev(results_.end());
  }
  free->taken = true;
  return ResultsPtr(&*free);
}

void CudaContext::keep_results(std::size_t count, std::size_t bytes) {
  while (results_.size() < count && !failure_) {
    void* memory = nullptr;
    Results& results = results_.emplace_back();
    if (check(cudaHostAlloc(&memory, bytes, cudaHostAllocPortable), "pinning host memory"))
      check(cudaEventCreateWithFlags(&results.ready, cudaEventDisableTiming), "making an event");
    results.memory = static_cast<std::byte*>(memory);
    results.bytes = failure_ ? 0 : bytes;
  }
}

}  // namespace caudal::cuda
