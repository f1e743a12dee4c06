// CudaContext: one GPU as the backend sees it. The compute stream, the first error (which stays: a CUDA context does
// not recover), waits that end, and pinned memory through which the host sends small things to the device without
// waiting. Owned by the backend, used by its step thread.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "common/result.h"

namespace caudal::cuda {

class CudaContext {
 public:
  // The GPU `device` of this host, or an Error that says what is missing: a driver, a GPU, a new enough one.
  static Result<std::unique_ptr<CudaContext>> create(int device);
  ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  cudaStream_t stream() const { return stream_; }
  const cudaDeviceProp& properties() const { return properties_; }
  int device() const { return device_; }
  int compute_capability() const { return 10 * properties_.major + properties_.minor; }

  // Remembers the first failure; true when there is none yet.
  bool check(cudaError_t status, const char* what);
  void fail(std::string message);
  const std::optional<Error>& failure() const { return failure_; }
  // The failure, which is forgotten if the device still works: after what may fail and leaves no trace.
  Error recover();

  // Asked while the host waits and when it has waited; an Error ends the wait and the context: a rank that is gone, or
  // results that are none. One per `who`; null ends it.
  using Watch = std::function<std::optional<Error>()>;
  void set_watch(const void* who, Watch watch);
  void set_deadline(std::chrono::milliseconds deadline) { deadline_ = deadline; }

  // Looks without waiting: failure() is what has gone wrong on the device, or of what is watched, so far.
  void glance();

  // Until all queued work, or what was queued before the event, is done, failed, or past the deadline.
  void synchronize();
  void wait(cudaEvent_t event);
  // Whether a wait for it would end at once.
  bool done(cudaEvent_t event) const { return failure_ || cudaEventQuery(event) != cudaErrorNotReady; }

  // Pinned memory to write to and copy from; it may be written anew after the stream has passed what was queued
  // until the next kStageBytes of requests. bytes <= kStageBytes.
  static constexpr std::size_t kStageBytes = std::size_t{4} << 20;
  std::byte* stage(std::size_t bytes);

  // Pinned memory that the device copies results to, and the event after which they are there. Taken for as long as
  // it is being read; taken again only for copies that are queued later, so a result that was not waited for does no
  // harm.
  struct Results {
    std::byte* memory = nullptr;
    std::size_t bytes = 0;
    cudaEvent_t ready = nullptr;
    bool taken = false;
  };
  struct ReturnResults {
    void operator()(Results* results) const { results->taken = false; }
  };
  using ResultsPtr = std::unique_ptr<Results, ReturnResults>;

  // Null when there is no memory (a failure). keep_results() makes `count` of them at start, so that none is made
  // later.
  ResultsPtr take_results(std::size_t bytes);
  void keep_results(std::size_t count, std::size_t bytes);

 private:
  // The ring is cut in sections; one is filled while the device may still read the others.
  struct Section {
    std::byte* memory = nullptr;
    cudaEvent_t left = nullptr;  // recorded when the ring moved on
    bool in_use = false;
  };
  static constexpr std::size_t kSections = 4;

  CudaContext(int device, const cudaDeviceProp& properties) : device_(device), properties_(properties) {}
  Result<void> open();
  void look();
  template <typename Query>
  void poll(Query query);

  int device_;
  cudaDeviceProp properties_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t all_done_ = nullptr;
  std::optional<Error> failure_;
  std::map<const void*, Watch> watches_;
  std::chrono::milliseconds deadline_{120'000};
  std::deque<Results> results_;
  std::byte* ring_ = nullptr;
  std::array<Section, kSections> sections_{};
  std::size_t section_ = 0, used_ = 0;
};

}  // namespace caudal::cuda
