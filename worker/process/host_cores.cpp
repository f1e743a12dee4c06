#include "worker/process/host_cores.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "common/host/host_cpus.h"

namespace caudal {

void use_all_cores() {
  static const cpu_set_t all = [] {
    cpu_set_t own, launcher;
    CPU_ZERO(&own);
    CPU_ZERO(&launcher);
    sched_getaffinity(0, sizeof own, &own);
    // Without mpirun the parent is a shell, which says nothing about what this process was given.
    if (std::getenv("OMPI_COMM_WORLD_RANK") != nullptr) sched_getaffinity(getppid(), sizeof launcher, &launcher);
    CPU_OR(&own, &own, &launcher);
    return own;
  }();
  sched_setaffinity(0, sizeof all, &all);
}

RankCores choose_rank_cores(const CoreChoice& choice, int local_rank, int local_size) {
  if (choice.pin) use_all_cores();
  const HostCpus cpus = host_cpus();
  RankCores rank;
  rank.num_threads = choice.num_threads > 0 ? choice.num_threads : std::max(1, cpus.num_threads / local_size);
  if (!choice.pin || cpus.has_quota()) return rank;
  const auto first = choice.first_core < 0 ? cpus.cores.begin() : std::ranges::find(cpus.cores, choice.first_core);
  if (cpus.cores.end() - first < static_cast<std::ptrdiff_t>(rank.num_threads) * local_size) return rank;
  const auto own = first + static_cast<std::ptrdiff_t>(local_rank) * rank.num_threads;
  rank.pinned.assign(own, own + rank.num_threads);
  return rank;
}

}  // namespace caudal
