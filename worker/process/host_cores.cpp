#include "worker/process/host_cores.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

namespace caudal {
namespace {

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

bool contains_run(const std::vector<int>& cores, int first, int count) {
  for (int core = first; core < first + count; ++core)
    if (!std::binary_search(cores.begin(), cores.end(), core)) return false;
  return true;
}

}  // namespace

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
  const std::vector<int> cores = allowed_cores();
  RankCores rank;
  const int share = static_cast<int>(cores.size()) / local_size;
  rank.num_threads = choice.num_threads > 0 ? choice.num_threads : std::max(1, share);
  const int first = choice.first_core >= 0 ? choice.first_core : cores.front();
  if (choice.pin && contains_run(cores, first, rank.num_threads * local_size))
    rank.first_core = first + local_rank * rank.num_threads;
  return rank;
}

}  // namespace caudal
