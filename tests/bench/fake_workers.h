// FakeWorkers: many replicas of one rank in one thread, over real DEALER links and the real encoding, with no model:
// every plan is answered at once, one token per sequence that has caught up.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/sim/caudal_sim/instant_table.h"

namespace caudal::bench {

class FakeWorkers {
 public:
  // Registers `count` replicas of `info` at `endpoint`; they live as long as this.
  FakeWorkers(const std::string& endpoint, std::int32_t count, const ReplicaInfo& info);
  ~FakeWorkers();
  FakeWorkers(const FakeWorkers&) = delete;
  FakeWorkers& operator=(const FakeWorkers&) = delete;

  std::uint64_t num_steps() const { return num_steps_; }

 private:
  struct Link;
  void run(const std::stop_token& stop);

  ReplicaInfo info_;
  void* context_;
  std::vector<std::unique_ptr<Link>> links_;
  std::atomic<std::uint64_t> num_steps_ = 0;
  std::jthread thread_;
};

}  // namespace caudal::bench
