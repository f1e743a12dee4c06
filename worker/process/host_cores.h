// Which cores of the host a rank computes on: all ranks of a host divide them, each pinned to its own.
#pragma once

#include <vector>

namespace caudal {

struct CoreChoice {
  int num_threads = 0;  // 0 = what the host's ranks may run together, divided by them
  int first_core = -1;  // of the host's first rank; -1 = the first that may be used
  bool pin = true;
};

struct RankCores {
  int num_threads = 1;
  std::vector<int> pinned;  // a core for each thread; empty = not pinned
};

// Lets this thread run on all cores that mpirun itself may use. mpirun may have bound the process to few of them, and
// the ranks of a host are to divide them all; taskset and control groups hold for mpirun, too. Threads that do not
// compute call it as well, because a thread inherits the binding of its parent. The first call must come early, while
// mpirun lives.
void use_all_cores();

// Ranks take the host's cores one NUMA node after the other, so that one that fits into a node computes and keeps its
// weights there. Pins only where every rank of the host can have cores of its own for all its threads, and no control
// group lets others run on them.
RankCores choose_rank_cores(const CoreChoice& choice, int local_rank, int local_size);

}  // namespace caudal
