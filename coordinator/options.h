// What the operator asked for: command line and TOML file, checked once, then passed by reference.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/log.h"
#include "coordinator/gateway/api/limits.h"
#include "coordinator/policy/scheduler_config.h"

namespace caudal {

struct Options {
  std::string model_dir;
  std::string served_model_name;  // what clients call it; the directory's or file's name unless given

  std::string tool_call_parser;  // by name; empty = as the chat template says
  std::string reasoning_parser;  // likewise

  std::string host = "127.0.0.1";
  int port = 8000;
  std::vector<std::string> allowed_origins;           // whose web pages may ask
  double stream_ping_s = 0.0;                         // 0 = none
  std::int32_t max_logprobs = kDefaultMaxLogprobs;    // of each token; -1 = any number
  std::string zmq_endpoint = "tcp://127.0.0.1:8001";  // empty = no ZeroMQ gateway
  std::string zmq_curve_keys;                         // file; needed off loopback; clients hold the same keys

  std::string control_endpoint = "tcp://127.0.0.1:5570";
  std::string curve_keys;  // file; needed off loopback
  double lease_s = 10.0;
  double step_timeout_s = 120.0;

  int num_replicas = 0;  // 0 = started by hand; else this process launches them
  bool one_replica_per_node = false;
  int tensor_parallel_size = 1;
  std::string hostfile;
  std::string draft_model_dir;           // of launched workers; or empty
  std::vector<std::string> worker_args;  // handed to launched workers

  double drain_s = 5.0;  // after a signal: how long running requests may go on
  SchedulerConfig scheduler;
  LogLevel log_level = LogLevel::kInfo;
  std::string generate_keys;  // write a key file and end
};

// Prints help or the error itself; then the exit code to end with.
std::optional<int> parse_options(int argc, char** argv, Options& options);

}  // namespace caudal
