#include "kernels/cuda/comm/peer.h"

#include <fmt/core.h>

#include <atomic>
#include <vector>

#include "kernels/cuda/comm/device_watch.h"

namespace caudal {
namespace {

// In PeerGroup::lost: this rank gives up waiting, for any rank.
constexpr std::uint32_t kGivesUp = 0xFFFFFFFF;

class PeerCommunicator final : public Communicator {
 public:
  PeerCommunicator(cuda::CudaContext& context, std::unique_ptr<PeerMemory> memory, std::unique_ptr<Communicator> other)
      : context_(context), memory_(std::move(memory)), other_(std::move(other)) {
    watch_device(other_->host(), context_);
  }

  int rank() const override { return other_->rank(); }
  int size() const override { return other_->size(); }
  bool queues() const override { return other_->queues(); }
  HostExchange& host() override { return other_->host(); }

  void all_reduce(const Tensor& tensor) override {
    if (tensor.bytes() > cuda::kMaxPeerBytes) return other_->all_reduce(tensor);
    if (!context_.failure()) cuda::peer_all_reduce(memory_->group(), tensor, context_.stream());
  }
  void all_gather_columns(const Tensor& input, const Tensor& output) override {
    other_->all_gather_columns(input, output);
  }
  void broadcast(const Tensor& tensor, int root) override { other_->broadcast(tensor, root); }

 private:
  cuda::CudaContext& context_;
  std::unique_ptr<PeerMemory> memory_;
  std::unique_ptr<Communicator> other_;
};

template <typename T>
std::vector<T> gather_all(const GatherBytes& gather, int size, const T& mine) {
  std::vector<T> all(size);
  gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
  return all;
}

// The first rank's trouble, in the same words on all ranks.
std::optional<Error> trouble(const std::vector<cudaError_t>& of_ranks, const char* what) {
  for (std::size_t r = 0; r < of_ranks.size(); ++r)
    if (of_ranks[r] != cudaSuccess)
      return Error{fmt::format("rank {}: {}: {}", r, what, cudaGetErrorName(of_ranks[r])), "device"};
  return std::nullopt;
}

}  // namespace

PeerMemory::PeerMemory(cuda::CudaContext& context, int rank, int size, GatherBytes gather)
    : context_(context), gather_(std::move(gather)) {
  group_.rank = rank;
  group_.size = size;
}

Result<std::unique_ptr<PeerMemory>> PeerMemory::share(cuda::CudaContext& context, int rank, int size,
                                                      GatherBytes gather, std::chrono::nanoseconds deadline) {
  CHECK(size <= cuda::kMaxPeers);
  std::unique_ptr<PeerMemory> memory(new PeerMemory(context, rank, size, std::move(gather)));
  memory->group_.deadline_ns = static_cast<std::uint64_t>(deadline.count());
  memory->deadline_s_ = std::chrono::duration<double>(deadline).count();

  cudaError_t status = memory->make_region();
  cudaIpcMemHandle_t handle{};
  if (status == cudaSuccess) status = cudaIpcGetMemHandle(&handle, memory->group_.regions[rank]);
  if (std::optional<Error> error = trouble(gather_all(memory->gather_, size, status), "offering memory to peers"))
    return *error;
  status = memory->open_regions(gather_all(memory->gather_, size, handle));
  if (std::optional<Error> error = trouble(gather_all(memory->gather_, size, status), "opening memory of peers"))
    return *error;
  context.set_watch(memory.get(), [m = memory.get()] { return m->look(); });
  return memory;
}

cudaError_t PeerMemory::make_region() {
  void*& region = group_.regions[group_.rank];
  const std::size_t bytes = cuda::peer_region_bytes(group_.size);
  void* lost = nullptr;
  cudaError_t status = cudaHostAlloc(&lost, sizeof(std::uint32_t), cudaHostAllocPortable);
  if (status != cudaSuccess) return status;
  group_.lost = static_cast<std::uint32_t*>(lost);
  *group_.lost = 0;
  status = cudaMalloc(&region, bytes);
  if (status == cudaSuccess) status = cudaMemsetAsync(region, 0, bytes, context_.stream());
  return status == cudaSuccess ? cudaStreamSynchronize(context_.stream()) : status;
}

cudaError_t PeerMemory::open_regions(std::span<const cudaIpcMemHandle_t> handles) {
  for (int r = 0; r < group_.size; ++r) {
    if (r == group_.rank) continue;
    const cudaError_t status = cudaIpcOpenMemHandle(&group_.regions[r], handles[r], cudaIpcMemLazyEnablePeerAccess);
    if (status != cudaSuccess) {
      cudaGetLastError();  // it is no error of what comes later
      return status;
    }
  }
  return cudaSuccess;
}

std::optional<Error> PeerMemory::look() const {
  const std::uint32_t lost = std::atomic_ref(*group_.lost).load(std::memory_order_relaxed);
  if (lost == 0) return std::nullopt;
  return Error{fmt::format("rank {} of the replica is lost: it did not come to an all-reduce within {} s", lost - 1,
                           deadline_s_),
               "device"};
}

PeerMemory::~PeerMemory() {
  context_.synchronize();
  context_.set_watch(this, nullptr);
  const bool healthy = !context_.failure();
  if (group_.lost != nullptr && !healthy) std::atomic_ref(*group_.lost).store(kGivesUp);  // a kernel that waits ends
  for (int r = 0; r < group_.size; ++r)
    if (r != group_.rank && group_.regions[r] != nullptr) cudaIpcCloseMemHandle(group_.regions[r]);
  if (healthy) gather_all(gather_, group_.size, std::byte{});
  cudaFree(group_.regions[group_.rank]);
  cudaFreeHost(group_.lost);
}

std::unique_ptr<Communicator> make_peer_communicator(cuda::CudaContext& context, std::unique_ptr<PeerMemory> memory,
                                                     std::unique_ptr<Communicator> other) {
  return std::make_unique<PeerCommunicator>(context, std::move(memory), std::move(other));
}

}  // namespace caudal
