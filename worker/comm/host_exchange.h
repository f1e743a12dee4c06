// HostExchange: a few numbers of the host told to the other ranks, over whatever the group's communicator
// runs on. Goes through device memory, since that is what communicators carry.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "worker/comm/communicator.h"

namespace caudal {

class HostExchange {
 public:
  // For at most `capacity` numbers per rank in one call.
  static std::size_t device_bytes(int ranks, std::int64_t capacity) {
    return static_cast<std::size_t>((ranks + 1) * capacity) * sizeof(std::int32_t);
  }
  static Result<std::unique_ptr<HostExchange>> create(Backend& backend, Communicator& group, std::int64_t capacity);

  // Everybody's numbers, rank after rank: [ranks * mine.size()]. Lives until the next call.
  std::span<const std::int32_t> gather(std::span<const std::int32_t> mine);

  // The root's numbers replace everybody's.
  void broadcast(std::span<std::int32_t> numbers, int root);

 private:
  HostExchange(Backend& backend, Communicator& group, Buffer memory)
      : backend_(backend), group_(group), memory_(std::move(memory)) {}

  Backend& backend_;
  Communicator& group_;
  Buffer memory_;
  std::vector<std::int32_t> gathered_;
};

}  // namespace caudal
