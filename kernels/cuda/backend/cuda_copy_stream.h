// The CopyStream of a GPU: a stream of its own, ordered against the compute stream by events.
#pragma once

#include <deque>
#include <memory>

#include "kernels/copy_stream.h"
#include "kernels/cuda/backend/cuda_context.h"

namespace caudal::cuda {

// Queues the copies on a stream. What is in a row on both sides goes at once, unless the tensors are one: a copy may
// read what an earlier one wrote.
void queue_copies(CudaContext& context, cudaStream_t stream, std::span<const BlockPair> pairs, const Tensor& from,
                  const Tensor& to);

class CudaCopyStream final : public CopyStream {
 public:
  explicit CudaCopyStream(CudaContext& context);
  ~CudaCopyStream() override;
  CudaCopyStream(const CudaCopyStream&) = delete;
  CudaCopyStream& operator=(const CudaCopyStream&) = delete;

  std::uint64_t num_done() override;
  void join(std::uint64_t count) override;
  void wait(std::uint64_t count) override;

 protected:
  void queue(BlockCopies copies) override;

 private:
  struct DestroyEvent {
    void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
  };
  using Event = std::unique_ptr<CUevent_st, DestroyEvent>;

  Event make_event();
  // The event after the first `count`; null when these are done.
  cudaEvent_t end_of(std::uint64_t count);

  CudaContext& context_;
  cudaStream_t stream_ = nullptr;
  Event begin_;  // what was computed before the last copies
  std::uint64_t num_done_ = 0;
  std::deque<Event> ends_;  // of those that were not seen done
};

}  // namespace caudal::cuda
