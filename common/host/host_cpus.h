// The processors that this process may compute on: what its affinity and its control groups leave of the host's.
#pragma once

#include <filesystem>
#include <vector>

namespace caudal {

struct HostCpus {
  std::vector<int> cores;  // it may run on, one NUMA node after the other
  int num_nodes = 1;       // that have some of them
  int num_threads = 1;     // that may run all the time: fewer than cores where a control group has a quota

  bool has_quota() const { return num_threads < static_cast<int>(cores.size()); }
};

// Of the calling thread. A quota of 2.5 processors lets two threads run; one of less than one processor, one thread:
// the kernel would stop more of them together, in the middle of a step. `root` stands for "/".
HostCpus host_cpus(const std::filesystem::path& root = "/");

}  // namespace caudal
