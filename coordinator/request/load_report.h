// LoadReport: what the cluster is doing, for people, routers and autoscalers (GET /load, gateway.proto Load). Made by
// the engine a few times a second (load_monitor), read by the gateways. Plain data.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/request/request.h"
#include "coordinator/request/scheduler_stats.h"

namespace caudal {

struct ReplicaLoad {
  ReplicaId id = 0;
  ReplicaStats stats{};
};

struct TenantLoad {
  std::string name;  // empty: all that are not configured, together
  std::int32_t weight = 1;
  std::int32_t num_requests = 0;
  std::int32_t num_waiting = 0;
  std::uint64_t num_generated_tokens = 0;
};

// Microseconds from arrival to the first plan, of the last `count` sequences.
struct QueueWait {
  std::int32_t count = 0;
  Time p50_us = 0;
  Time p90_us = 0;
  Time p99_us = 0;
};

struct LoadReport {
  bool ready = false;
  std::int32_t num_running = 0;  // sequences
  std::int32_t num_waiting = 0;
  std::int32_t max_waiting = 0;
  Time oldest_wait_us = 0;
  QueueWait queue_wait{};
  std::vector<ReplicaLoad> replicas;
  std::vector<TenantLoad> tenants;                             // bounded: the configured ones, then the others as one
  std::array<std::uint64_t, kNumRejectReasons> num_refused{};  // sequences, by RejectReason
};

}  // namespace caudal
