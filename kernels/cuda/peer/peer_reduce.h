// One-shot all-reduce over memory that the GPUs of one host reach directly: every rank puts its part into a slot of
// every other's region, sets a flag, waits for the others' flags and adds all parts in rank order in f32, so that
// all ranks get the same bits, those of worker/comm/ordered_sum. One exchange, for messages whose time is latency.
//
// A region is what one rank lets the others write to. All of it is zero before the first call of any rank:
//
//   0     flags  u32 [kPeerBlocks][kMaxPeers]   by rank r: the number of its calls whose part is here
//   2048  calls  u32 [kPeerBlocks]               the owner's: how often the block has run
//   4096  parts  [2][size][kMaxPeerBytes]       by rank r, calls of odd and even number apart
//
// A block of the kernel has its own flags and its own range of bytes, so blocks are as many independent exchanges. Two
// halves make a barrier at the end needless: who writes into a half again, two calls later, has seen the flags of the
// call between, which the others set after they had read the half (kernels of a stream run one after the other).
#pragma once

#include <driver_types.h>

#include <cstddef>
#include <cstdint>

#include "kernels/tensor.h"

namespace caudal::cuda {

constexpr int kMaxPeers = 8;
constexpr std::size_t kMaxPeerBytes = std::size_t{256} << 10;  // of a message
constexpr unsigned kPeerThreads = 256;
constexpr std::size_t kPeerBlockBytes = std::size_t{16} * kPeerThreads;  // of a message, per block
constexpr unsigned kPeerBlocks = kMaxPeerBytes / kPeerBlockBytes;

constexpr std::size_t kPeerCallsOffset = 2048, kPeerPartsOffset = 4096;
static_assert(kPeerBlocks * kMaxPeers * sizeof(std::uint32_t) <= kPeerCallsOffset);
static_assert(kPeerCallsOffset + kPeerBlocks * sizeof(std::uint32_t) <= kPeerPartsOffset);

// Whole pages of 2 MiB: an exported allocation shows the other processes all of its pages.
constexpr std::size_t peer_region_bytes(int size) {
  constexpr std::size_t kPage = std::size_t{2} << 20;
  const std::size_t bytes = kPeerPartsOffset + 2 * static_cast<std::size_t>(size) * kMaxPeerBytes;
  return (bytes + kPage - 1) / kPage * kPage;
}

struct PeerGroup {
  void* regions[kMaxPeers] = {};  // of rank r, as this process reaches it
  int rank = 0, size = 1;
  std::uint32_t* lost = nullptr;  // host memory; 1 + a rank that did not come in time, and calls no longer wait
  std::uint64_t deadline_ns = 0;  // of one call
};

// data (f32, bf16 or f16, contiguous, at most kMaxPeerBytes) becomes the sum over ranks. All ranks make the same
// calls, each in the order of one stream. May be captured in a graph: what changes from call to call is on the device.
void peer_all_reduce(const PeerGroup& group, const Tensor& data, cudaStream_t stream);

}  // namespace caudal::cuda
