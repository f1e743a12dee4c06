// Which cores of the host a rank computes on: all ranks of a host divide them, each pinned to its own.
#pragma once

#include "common/result.h"

namespace caudal {

struct CoreChoice {
  int num_threads = 0;  // 0 = cores of the host divided by its ranks
  int first_core = -1;  // of the host's first rank; -1 = the first that may be used
  bool pin = true;
};

struct RankCores {
  int num_threads = 1;
  int first_core = -1;  // -1 = not pinned
};

// mpirun may have bound this process to few cores; when pinning is wanted, the process takes back all cores that
// mpirun itself may use (taskset and control groups hold for both), so that the ranks of a host can divide them.
// Threads that are to run anywhere (not the ones that compute) call it too, because threads inherit the binding of
// who starts them. The first call must come early, while mpirun lives.
void use_all_cores();

// Pins only when every rank of the host can have its threads on cores of its own.
RankCores choose_rank_cores(const CoreChoice& choice, int local_rank, int local_size);

}  // namespace caudal
