#include "tests/kernels/cuda/peer/peer_group.h"

#include "kernels/cuda/device/dispatch.h"
#include "kernels/cuda/peer/peer_reduce.cuh"

namespace caudal::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(kGroupRanks* kGroupThreads)
    peer_group_kernel(const __grid_constant__ PeerGroupCalls calls) {
  const int rank = static_cast<int>(threadIdx.x / kGroupThreads);
  const auto sync = [rank] { ptx::bar_sync(1 + rank, static_cast<int>(kGroupThreads)); };
  for (int c = 0; c < calls.num_calls; ++c) {
    T* data = static_cast<T*>(calls.data[rank]) + calls.offsets[c];
    const PeerMessage message{data, calls.sizes[c], reinterpret_cast<std::uintptr_t>(data) % 16 == 0};
    if (message.n * sizeof(T) <= blockIdx.x * kGroupThreads * 16) continue;
    peer_all_reduce_block<T, kGroupThreads>(calls.group, rank, message, blockIdx.x, threadIdx.x % kGroupThreads, sync);
    sync();  // a call is a kernel of its own, in the order of the rank's stream
  }
}

}  // namespace

void run_peer_group(const PeerGroupCalls& calls, DType dtype, cudaStream_t stream) {
  dispatch_float(dtype, [&]<class T>(std::type_identity<T>) {
    simt::launch(peer_group_kernel<T>, kGroupBlocks, kGroupRanks * kGroupThreads, 0, stream, calls);
  });
}

}  // namespace caudal::cuda
