// The command line of one replica: mpirun, the worker, what the coordinator passes to it and what the operator adds.
// The operator's word on threads, cores and memory shares wins; the coordinator's own options cannot be given twice.
#pragma once

#include <string>
#include <vector>

#include "common/result.h"

namespace caudal {

struct LaunchConfig {
  int num_replicas = 1;
  int tensor_parallel_size = 1;
  std::string worker_path{};                 // the caudal-worker executable
  std::vector<std::string> worker_args{};    // the coordinator's, after --coordinator and --tensor-parallel
  std::vector<std::string> operator_args{};  // --worker-arg
  std::string hostfile{};                    // Open MPI format ("host slots=N" lines); empty = this host
};

// Whether the operator's arguments name an option that the coordinator sets.
Result<void> check_operator_args(const LaunchConfig& config);

// `hosts` as mpirun's --host takes them; empty = this host, whose cores and memory the replicas share. `folder`, where
// given, is where mpirun and the ranks keep their sockets and shared memory.
std::vector<std::string> mpirun_command(const LaunchConfig& config, const std::string& endpoint, int replica,
                                        const std::string& hosts, const std::string& folder);

}  // namespace caudal
