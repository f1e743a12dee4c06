// HostExchange: sends a few numbers between the hosts of a group's ranks, past their devices: ranks agree on a step
// while the devices are still at the one before. No device waits for an exchange, so an exchange may wait while devices
// wait for each other. Belongs to a communicator; the step thread's.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "common/result.h"

namespace caudal {

class HostExchange {
 public:
  // For the slowest rank to come.
  static constexpr std::chrono::milliseconds kDeadline{100'000};

  virtual ~HostExchange() = default;

  // A device whose failure ends a wait for other ranks, and to which a lost rank is a failure.
  struct Device {
    std::function<std::optional<Error>()> look;
    std::function<void(const Error&)> fail;
  };
  void set_device(Device device) { device_ = std::move(device); }

  // All ranks call it, with as many numbers each. The result holds those of every rank, rank after rank, until the next
  // call. An Error names a rank that did not come in time; while `patient` is true, time does not count.
  Result<std::span<const std::int32_t>> gather(std::span<const std::int32_t> mine,
                                               const std::function<bool()>& patient = {});

  // The root's numbers replace those of every rank. All ranks wait for each other.
  Result<void> broadcast(std::span<std::int32_t> numbers, int root);

 protected:
  explicit HostExchange(std::chrono::milliseconds deadline) : deadline_(deadline) {}

  // Begins to send `mine` to the others and to receive theirs.
  virtual void send(std::span<const std::int32_t> mine) = 0;
  // A rank that is not there yet; none when gathered_ holds the numbers of every rank.
  virtual std::optional<int> awaited() = 0;

  std::vector<std::int32_t> gathered_;

 private:
  std::chrono::milliseconds deadline_;
  Device device_;
};

}  // namespace caudal
