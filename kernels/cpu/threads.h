// A small pool of pinned threads for one backend. The calling thread is one of them; the others spin for
// some microseconds after a job, so that the next op of a step starts at once, then sleep in the kernel:
// an idle worker costs nothing. Not OpenMP, because its barrier waits for every thread: on a machine that
// is shared, a thread that lost its core stalls each of the ~170 regions of a step. Here tasks are claimed
// one by one, and a job ends when its tasks are done, on whichever thread they ran.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

#include "common/result.h"

namespace caudal {

class ThreadPool {
 public:
  // One thread per entry; entry i is the core of thread i, or -1 for no pinning. Thread 0 is the one that
  // calls run(): it is pinned on its first call and stays so. std::system_error where the system starts no more
  // threads.
  explicit ThreadPool(std::vector<int> cores);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(cores_.size()); }

  // Calls fn(task, thread) once for each task in [0, num_tasks), thread in [0, num_threads); two tasks of
  // one thread never overlap. Returns when all are done and their writes are visible. Not reentrant.
  template <typename Fn>
  void run(std::int64_t num_tasks, const Fn& fn) {
    run_erased(
        num_tasks, [](const void* f, std::int64_t task, int thread) { (*static_cast<const Fn*>(f))(task, thread); },
        &fn);
  }

 private:
  using Call = void (*)(const void* fn, std::int64_t task, int thread);

  void stop();
  void run_erased(std::int64_t num_tasks, Call call, const void* fn);
  void worker(int thread);
  void work(std::uint32_t job, int thread);

  std::vector<int> cores_;
  std::thread::id caller_;

  // The job. Written by the caller when no task is left to claim, read by workers before they claim: a claim
  // that succeeds proves that what was read belonged to its job.
  std::atomic<Call> call_{nullptr};
  std::atomic<const void*> fn_{nullptr};
  std::atomic<std::uint32_t> num_tasks_{0};
  alignas(64) std::atomic<std::uint64_t> ticket_{0};  // job << 32 | tasks not claimed yet
  alignas(64) std::atomic<std::uint32_t> num_done_{0};
  alignas(64) std::atomic<int> wake_{0};  // what sleeping workers wait on: the low bits of the job
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

// The cores of a pool, by BackendOptions. An Error when the process may not use one of them.
Result<std::vector<int>> choose_cores(int num_threads, const std::vector<int>& pinned_cores);

}  // namespace caudal
