// Cell: one coordinator and its replicas in simulated time, for thousands of devices. The coordinator is the shipped
// EngineCore and takes the time that it really needs (CPU time of its turns on this machine): while it works, messages
// wait, and the next turn takes them together. A replica answers with tokens that mean nothing, when a StepTime says
// so.
#pragma once

#include <functional>
#include <vector>

#include "coordinator/engine/engine_core.h"
#include "tests/sim/caudal_sim/request_trace.h"
#include "tests/sim/caudal_sim/step_time.h"

namespace caudal::sim {

struct CellOptions {
  EngineConfig engine;
  ReplicaInfo replica;
  std::int32_t num_replicas = 1;
  Time network_us = 100;           // one way, links and their threads
  std::int32_t shared_tokens = 0;  // that requests of a group begin with
  std::function<double(const StepWork&)> step_us;
  Time turn_us = 0;  // that a turn of the coordinator takes; 0: what it takes on this machine
};

struct ServedRequest {
  Time arrival = 0;
  Time first_token = 0;  // 0: none came
  Time last_token = 0;
  std::int32_t num_tokens = 0;
  bool finished = false;
};

struct CellReport {
  std::vector<ServedRequest> requests;  // as they arrived
  Time end = 0;                         // simulated time of the last event
  double coordinator_s = 0.0;           // CPU time in turns
  std::uint64_t num_turns = 0;
  std::uint64_t num_steps = 0;
  std::uint64_t num_sequences_in_steps = 0;
  std::uint64_t num_preemptions = 0;
  std::uint64_t num_tokens_queried = 0;  // in prefix caches
  std::uint64_t num_tokens_hit = 0;
  double replica_busy_s = 0.0;  // over all replicas
};

// Serves the requests; those that have not finished `drain_s` after the last arrival are left unfinished.
CellReport run_cell(const CellOptions& options, const std::vector<TracedRequest>& requests, double drain_s);

}  // namespace caudal::sim
