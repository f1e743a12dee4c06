// A group of ranks inside one block, each some of its threads with a barrier of their own: the one-shot all-reduce
// where the emulation sees all ranks at once, ThreadSanitizer's clocks and every schedule included. On a GPU it runs
// too.
#pragma once

#include <driver_types.h>

#include "kernels/cuda/peer/peer_reduce.h"

namespace caudal::cuda {

constexpr int kGroupRanks = 3;
constexpr unsigned kGroupThreads = 64;  // of a rank
constexpr unsigned kGroupBlocks = 2;

// Calls one after another: call c sums elements [0, sizes[c]) of data[rank] + offsets[c], in place. No call is larger
// than kGroupBlocks * kGroupThreads * 16 bytes. group.rank is not read.
struct PeerGroupCalls {
  PeerGroup group;
  void* data[kGroupRanks];
  const int* sizes;    // [num_calls]
  const int* offsets;  // [num_calls], in elements
  int num_calls;
};

void run_peer_group(const PeerGroupCalls& calls, DType dtype, cudaStream_t stream = nullptr);

}  // namespace caudal::cuda
