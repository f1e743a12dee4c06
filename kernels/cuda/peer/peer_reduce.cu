// The kernel of the one-shot all-reduce. Bytes of a call: (size - 1) * message out to the others and as many in, all at
// once; what it lasts is about two trips over NVLink.
#include "kernels/cuda/peer/peer_reduce.cuh"

#include "kernels/cuda/device/dispatch.h"

namespace caudal::cuda {
namespace {

struct PeerReduceArgs {
  PeerGroup group;
  PeerMessage message;
};

template <class T>
__global__ void __launch_bounds__(kPeerThreads) peer_all_reduce_kernel(const __grid_constant__ PeerReduceArgs args) {
  peer_all_reduce_block<T, kPeerThreads>(args.group, args.group.rank, args.message, blockIdx.x, threadIdx.x,
                                         [] { __syncthreads(); });
}

}  // namespace

void peer_all_reduce(const PeerGroup& group, const Tensor& data, cudaStream_t stream) {
  CHECK(data.contiguous() && data.bytes() <= kMaxPeerBytes && group.size <= kMaxPeers);
  if (data.bytes() == 0) return;
  const bool aligned = reinterpret_cast<std::uintptr_t>(data.data()) % 16 == 0;
  const PeerReduceArgs args{group, {data.data(), data.elements(), aligned}};
  const auto blocks = static_cast<unsigned>((data.bytes() + kPeerBlockBytes - 1) / kPeerBlockBytes);
  dispatch_float(data.dtype(), [&]<class T>(std::type_identity<T>) {
    simt::launch(peer_all_reduce_kernel<T>, blocks, kPeerThreads, 0, stream, args);
  });
}

}  // namespace caudal::cuda
