// What this machine can do, measured in the process that compares itself with it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <thread>
#include <vector>

namespace caudal {

// Bytes per second that `num_threads` threads read together: the best of five passes over 512 MiB, which no
// cache holds.
inline double read_bandwidth(int num_threads = static_cast<int>(std::thread::hardware_concurrency())) {
  const std::vector<std::uint64_t> data(std::size_t{64} << 20, 1);
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(num_threads));
  const std::size_t share = data.size() / sums.size();
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < sums.size(); ++t) {
      threads.emplace_back([&, t] {
        const auto first = data.begin() + static_cast<std::ptrdiff_t>(t * share);
        sums[t] = std::accumulate(first, first + static_cast<std::ptrdiff_t>(share), std::uint64_t{0});
      });
    }
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    const std::uint64_t sum = std::accumulate(sums.begin(), sums.end(), std::uint64_t{0});
    best = std::max(best, static_cast<double>(sum * sizeof(std::uint64_t)) / seconds.count());
  }
  return best;
}

}  // namespace caudal
