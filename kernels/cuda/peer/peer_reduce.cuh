// What one block of one rank does in a one-shot all-reduce; the protocol is described in peer_reduce.h.
#pragma once

#include "kernels/cuda/device/primitives.cuh"
#include "kernels/cuda/peer/peer_reduce.h"

namespace caudal::cuda {

struct PeerMessage {
  void* data;
  long long n;   // elements
  bool aligned;  // data, to 16 bytes
};

// Until rank `from` has made `call`, its time is up, or some rank is known to be lost.
__device__ __forceinline__ void await_peer(const PeerGroup& group, const uint32_t* flag, uint32_t call, int from) {
  constexpr int kPollsPerLook = 1024;  // at the clock, and at host memory
  uint64_t begin = 0;
  for (int polls = 1; static_cast<int32_t>(ptx::load_acquire_system(flag) - call) < 0; ++polls) {
    ptx::pause_for_peer();
    if (polls % kPollsPerLook != 0) continue;
    if (ptx::load_relaxed_system(group.lost) != 0) return;
    const uint64_t now = ptx::global_timer_ns();
    if (begin == 0) begin = now;
    if (now - begin < group.deadline_ns) continue;
    ptx::store_release_system(group.lost, static_cast<uint32_t>(from) + 1);
    return;
  }
}

template <class T>
__device__ __forceinline__ Vec<T> load_whole_or_part(const PeerMessage& message, long long first) {
  constexpr int kSize = 16 / sizeof(T);
  const T* data = static_cast<const T*>(message.data) + first;
  if (message.aligned && first + kSize <= message.n) return load_vec(data);
  Vec<T> vec{};
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    if (first + i < message.n) vec.value[i] = data[i];
  }
  return vec;
}

template <class T>
__device__ __forceinline__ void store_whole_or_part(const PeerMessage& message, long long first, const Vec<T>& vec) {
  constexpr int kSize = 16 / sizeof(T);
  T* data = static_cast<T*>(message.data) + first;
  if (message.aligned && first + kSize <= message.n) return store_vec(data, vec);
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    if (first + i < message.n) data[i] = vec.value[i];
  }
}

// Tells `peer` that this rank has written its part of the call, and waits for the peer's.
__device__ __forceinline__ void meet_peer(const PeerGroup& group, int rank, int peer, unsigned block, uint32_t call) {
  if (peer < group.size && peer != rank) {
    const auto flag_of = [&](int at, int by) {
      return static_cast<uint32_t*>(group.regions[at]) + block * kMaxPeers + static_cast<unsigned>(by);
    };
    ptx::store_release_system(flag_of(peer, rank), call);
    await_peer(group, flag_of(rank, peer), call, peer);
  }
}

// Thread `thread` of kThreads, whose barrier `sync` is. Each has one vector of the message.
template <class T, unsigned kThreads, class Sync>
__device__ __forceinline__ void peer_all_reduce_block(const PeerGroup& group, int rank, const PeerMessage& message,
                                                      unsigned block, unsigned thread, Sync sync) {
  constexpr int kSize = 16 / sizeof(T);
  unsigned char* own = static_cast<unsigned char*>(group.regions[rank]);
  uint32_t* calls = reinterpret_cast<uint32_t*>(own + kPeerCallsOffset) + block;
  const uint32_t call = *calls + 1;
  const size_t vector = size_t{block} * kThreads + thread;
  const size_t half = kPeerPartsOffset + call % 2 * static_cast<size_t>(group.size) * kMaxPeerBytes;
  const auto part_of = [&](int by) { return half + static_cast<size_t>(by) * kMaxPeerBytes + vector * 16; };
  const long long first = static_cast<long long>(vector) * kSize;
  const bool works = first < message.n;
  Vec<T> mine{};

  if (works) {
    mine = load_whole_or_part<T>(message, first);
#pragma unroll
    for (int r = 0; r < kMaxPeers; ++r) {
      if (r >= group.size || r == rank) continue;
      store_vec(reinterpret_cast<T*>(static_cast<unsigned char*>(group.regions[r]) + part_of(rank)), mine);
    }
  }
  sync();  // the block's part is written
  meet_peer(group, rank, static_cast<int>(thread), block, call);
  sync();  // the others' parts are here
  if (thread == 0) *calls = call;
  if (!works) return;

  Vec<T> parts[kMaxPeers];
#pragma unroll
  for (int r = 0; r < kMaxPeers; ++r) {
    if (r >= group.size) continue;
    parts[r] = r == rank ? mine : load_vec(reinterpret_cast<const T*>(own + part_of(r)));
  }
  Vec<T> sum;
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    float x = to_float(parts[0].value[i]);
#pragma unroll
    for (int r = 1; r < kMaxPeers; ++r) {
      if (r < group.size) x += to_float(parts[r].value[i]);
    }
    sum.value[i] = from_float<T>(x);
  }
  store_whole_or_part(message, first, sum);
}

}  // namespace caudal::cuda
