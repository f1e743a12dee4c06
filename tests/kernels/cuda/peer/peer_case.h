// Calls of changing size and alignment by the ranks of a group, and the sums that each must have, to the bit.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "tests/kernels/cuda/device.h"
#include "tests/kernels/cuda/peer/peer_group.h"

namespace caudal::cuda {

template <class T>
constexpr DType kPeerType = sizeof(T) == 4                     ? DType::kF32
                            : std::is_same_v<T, __nv_bfloat16> ? DType::kBF16
                                                               : DType::kF16;
template <class T>
T peer_value(float x) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) return __float2bfloat16(x);
  if constexpr (std::is_same_v<T, __half>) return __float2half(x);
  if constexpr (std::is_same_v<T, float>) return x;
}
inline float peer_float(float x) { return x; }
inline float peer_float(__nv_bfloat16 x) { return __bfloat162float(x); }
inline float peer_float(__half x) { return __half2float(x); }

// Rank r's element i; another order of adding gives another sum.
inline float peer_part(int r, std::size_t i) {
  constexpr float kScales[] = {1.0F, 3000.0F, -2999.0F, 0.001F, 30.0F};
  return kScales[(static_cast<std::size_t>(r) + i) % 5] * (1.0F + static_cast<float>(i % 97) / 97.0F);
}

// Element ranges of the calls, one after another with a gap that nobody may touch.
struct PeerRanges {
  std::vector<int> sizes, offsets;
  std::size_t total = 0;

  explicit PeerRanges(int vector) {
    const int most = static_cast<int>(kGroupBlocks * kGroupThreads) * vector;
    int at = 0;
    for (const int size : {most, 1, most - 1, most / 2 + 1, vector + 1, most / 2, most, most - vector - 1}) {
      at = (at + vector - 1) / vector * vector + (size == vector + 1 ? 1 : 0);  // one call is not aligned
      sizes.push_back(size), offsets.push_back(at);
      at += size + 1;
    }
    total = static_cast<std::size_t>(at - 1);  // the last call ends where the memory ends
  }
};

template <class T>
bool peer_sums_are_right() {
  const PeerRanges ranges(16 / static_cast<int>(sizeof(T)));
  std::vector<std::vector<T>> parts(kGroupRanks);
  for (int r = 0; r < kGroupRanks; ++r)
    for (std::size_t i = 0; i < ranges.total; ++i)
      parts[static_cast<std::size_t>(r)].push_back(peer_value<T>(peer_part(r, i)));
  std::vector<T> wanted = parts[0];  // and what lies between the calls
  std::vector<bool> summed(ranges.total, false);
  for (std::size_t c = 0; c < ranges.sizes.size(); ++c) {
    for (int i = 0; i < ranges.sizes[c]; ++i) {
      const auto at = static_cast<std::size_t>(ranges.offsets[c] + i);
      float sum = peer_float(parts[0][at]);
      for (std::size_t r = 1; r < kGroupRanks; ++r) sum += peer_float(parts[r][at]);
      wanted[at] = peer_value<T>(sum);
      summed[at] = true;
    }
  }

  const std::size_t region_words = (kPeerPartsOffset + 2 * kGroupRanks * kMaxPeerBytes) / sizeof(std::uint32_t);
  const test::DeviceArray<std::uint32_t> region0(region_words, 0), region1(region_words, 0), region2(region_words, 0);
  const test::DeviceArray<T> data0(parts[0]), data1(parts[1]), data2(parts[2]);
  const test::DeviceArray<std::uint32_t> lost(1, 0);
  const test::DeviceArray<int> sizes(ranges.sizes), offsets(ranges.offsets);
  PeerGroupCalls calls{.group = {.regions = {region0.data(), region1.data(), region2.data()},
                                 .rank = 0,
                                 .size = kGroupRanks,
                                 .lost = lost.data(),
                                 .deadline_ns = 5'000'000'000},
                       .data = {data0.data(), data1.data(), data2.data()},
                       .sizes = sizes.data(),
                       .offsets = offsets.data(),
                       .num_calls = static_cast<int>(ranges.sizes.size())};
  run_peer_group(calls, kPeerType<T>);
  bool right = lost.read()[0] == 0;
  const std::vector<T> results[kGroupRanks] = {data0.read(), data1.read(), data2.read()};
  for (std::size_t r = 0; r < kGroupRanks; ++r) {
    for (std::size_t i = 0; i < ranges.total; ++i) {
      const T want = summed[i] ? wanted[i] : parts[r][i];
      right = right && std::memcmp(&results[r][i], &want, sizeof(T)) == 0;
    }
  }
  return right;
}

}  // namespace caudal::cuda
