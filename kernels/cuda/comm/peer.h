// All-reduces of up to 256 KiB between the GPUs of one host by stores into each other's memory (CUDA IPC,
// kernels/cuda/peer/peer_reduce.h); everything else is another communicator's. Collectives are queued on the backend's
// compute stream and may be captured in graphs. A rank that does not come in time fails the others' contexts.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <span>

#include "kernels/comm/communicator.h"
#include "kernels/cuda/backend/cuda_context.h"
#include "kernels/cuda/peer/peer_reduce.h"
#include "kernels/device.h"

namespace caudal {

// Memory of this rank that the others have mapped, and theirs mapped here.
class PeerMemory {
 public:
  // For the slowest rank to come to a call. Ranks may have loaded their weights at different speeds; waits for a GPU
  // (CudaContext), which name no rank, last longer.
  static constexpr std::chrono::seconds kDeadline{100};

  // All ranks call it; all get an Error, and the same, when one of them cannot. `context` must outlive the memory.
  static Result<std::unique_ptr<PeerMemory>> share(cuda::CudaContext& context, int rank, int size, GatherBytes gather,
                                                   std::chrono::nanoseconds deadline = kDeadline);
  // Meets the other ranks, so that no rank frees what another may still have mapped, unless the context has failed.
  ~PeerMemory();
  PeerMemory(const PeerMemory&) = delete;
  PeerMemory& operator=(const PeerMemory&) = delete;

  const cuda::PeerGroup& group() const { return group_; }

 private:
  PeerMemory(cuda::CudaContext& context, int rank, int size, GatherBytes gather);
  cudaError_t make_region();
  cudaError_t open_regions(std::span<const cudaIpcMemHandle_t> handles);
  std::optional<Error> look() const;

  cuda::CudaContext& context_;
  GatherBytes gather_;
  cuda::PeerGroup group_;
  double deadline_s_ = 0;
};

// `other` joins the same ranks and belongs to the result.
std::unique_ptr<Communicator> make_peer_communicator(cuda::CudaContext& context, std::unique_ptr<PeerMemory> memory,
                                                     std::unique_ptr<Communicator> other);

}  // namespace caudal
