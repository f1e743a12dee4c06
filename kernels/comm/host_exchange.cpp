#include "kernels/comm/host_exchange.h"

#include <fmt/core.h>

#include <algorithm>
#include <thread>

namespace caudal {

Result<std::span<const std::int32_t>> HostExchange::gather(std::span<const std::int32_t> mine,
                                                           const std::function<bool()>& patient) {
  using Clock = std::chrono::steady_clock;
  send(mine);
  Clock::time_point give_up = Clock::now() + deadline_;
  while (const std::optional<int> rank = awaited()) {
    if (device_.look)
      if (const std::optional<Error> failure = device_.look()) return *failure;
    if (patient && patient()) give_up = Clock::now() + deadline_;
    if (Clock::now() > give_up) {
      const Error lost{fmt::format("rank {} of the replica is lost: it did not come to an exchange within {} ms", *rank,
                                   deadline_.count()),
                       "device"};
      if (device_.fail) device_.fail(lost);
      return lost;
    }
    std::this_thread::yield();
  }
  return std::span<const std::int32_t>(gathered_);
}

Result<void> HostExchange::broadcast(std::span<std::int32_t> numbers, int root) {
  const Result<std::span<const std::int32_t>> all = gather(numbers);
  if (!all) return all.error();
  const std::size_t begin = root * numbers.size();
  std::ranges::copy(all.value().subspan(begin, numbers.size()), numbers.begin());
  return {};
}

}  // namespace caudal
