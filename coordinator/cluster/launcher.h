// Launcher: starts one mpirun per replica and keeps it running. A small child process, forked before the
// coordinator has threads, does the work: it watches every mpirun by pidfd, restarts it with back-off, and
// ends them all when the coordinator goes away, however it goes (its end of a pipe closes).
#pragma once

#include <sys/types.h>
#include <string>
#include <vector>

#include "common/result.h"
#include "coordinator/cluster/mpirun_command.h"

namespace caudal {

// Which hosts the ranks of each replica use, as mpirun's --host argument ("a:2,b:2"), filling the hosts'
// slots in order. An Error when they are too few. `hostfile_text` as in Open MPI; a host without slots has 1.
Result<std::vector<std::string>> assign_hosts(const std::string& hostfile_text, int num_replicas,
                                              int tensor_parallel_size);

class Launcher {
 public:
  // Before the process has threads. Checks the configuration; starts nothing yet.
  static Result<Launcher> fork_child(const LaunchConfig& config);
  Launcher(Launcher&& other) noexcept;
  Launcher& operator=(Launcher&&) = delete;
  ~Launcher();  // ends every replica and waits until they are gone

  // Starts the replicas, which connect to this control endpoint.
  void start(const std::string& endpoint);

  // Readable when a replica cannot run at all (bad model, flags or memory); no restart helps.
  int fatal_fd() const { return fatal_fd_; }
  std::string read_fatal() const;

 private:
  Launcher(pid_t child, int command_fd, int fatal_fd) : child_(child), command_fd_(command_fd), fatal_fd_(fatal_fd) {}

  pid_t child_ = -1;
  int command_fd_ = -1;
  int fatal_fd_ = -1;
};

}  // namespace caudal
