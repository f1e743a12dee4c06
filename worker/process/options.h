// What the operator asked of a worker: command line and TOML file, checked once, then passed by reference.
#pragma once

#include <optional>
#include <string>

#include "common/log.h"
#include "kernels/comm/communicator.h"
#include "worker/process/host_cores.h"
#include "worker/process/server.h"
#include "worker/runner/runner.h"

namespace caudal {

struct WorkerOptions {
  std::string coordinator;  // endpoint of the control link
  bool plan_only = false;   // say what the model would take, and end
  std::string model_dir;
  int tensor_parallel_size = 1;
  std::string device = "cpu";
  int gpu = -1;                // of all ranks of a host; -1 = one per local rank
  std::string max_isa;         // of a CPU; empty: the widest it has
  bool tf32 = false;           // f32 products may use tensor cores
  bool deterministic = false;  // what a GPU computes for a token does not depend on the batch
  CommOptions comm;
  RunnerOptions runner;
  CoreChoice cores;
  ServerTiming timing;
  std::string curve_keys;  // path, or empty
  LogLevel log_level = LogLevel::kInfo;
};

// What --help or --version print, when there is nothing to run.
Result<std::optional<std::string>> parse_worker_options(int argc, char** argv, WorkerOptions& options);

}  // namespace caudal
