#include "kernels/cpu/threads.h"

#include <fmt/core.h>
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>

#include "common/host/host_cpus.h"

namespace caudal {
namespace {

// Longer than the gaps between the ops of a step (a few microseconds), far shorter than a step.
constexpr std::chrono::microseconds kSpin{50};

void pin_this_thread(int core) {
  if (core < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

// Polls until ready() or the spin time is over; says which.
template <typename Ready>
bool spin_until(Ready ready) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      _mm_pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

}  // namespace

ThreadPool::ThreadPool(std::vector<int> cores) : cores_(std::move(cores)) {
  CHECK(!cores_.empty());
  try {
    for (int thread = 1; thread < num_threads(); ++thread) threads_.emplace_back([this, thread] { worker(thread); });
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stop_.store(true, std::memory_order_relaxed);
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::run_erased(std::int64_t num_tasks, Call call, const void* fn) {
  if (caller_ != std::this_thread::get_id()) {
    caller_ = std::this_thread::get_id();
    pin_this_thread(cores_[0]);
  }
  if (num_threads() == 1 || num_tasks <= 1) {
    for (std::int64_t task = 0; task < num_tasks; ++task) call(fn, task, 0);
    return;
  }
  CHECK(num_tasks <= INT32_MAX);
  const auto count = static_cast<std::uint32_t>(num_tasks);
  const std::uint32_t job = static_cast<std::uint32_t>(ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  call_.store(call, std::memory_order_relaxed);
  fn_.store(fn, std::memory_order_relaxed);
  num_tasks_.store(count, std::memory_order_relaxed);
  num_done_.store(0, std::memory_order_relaxed);
  ticket_.store(std::uint64_t{job} << 32 | count, std::memory_order_release);
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
  work(job, 0);
  const auto all_done = [this, count] { return num_done_.load(std::memory_order_acquire) == count; };
  while (!spin_until(all_done)) sched_yield();
}

// Claims tasks of `job` until none is left. A worker that comes late finds another job number and leaves.
void ThreadPool::work(std::uint32_t job, int thread) {
  std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (static_cast<std::uint32_t>(ticket >> 32) == job) {
    const auto remaining = static_cast<std::uint32_t>(ticket);
    if (remaining == 0) return;
    const Call call = call_.load(std::memory_order_relaxed);
    const void* fn = fn_.load(std::memory_order_relaxed);
    const std::uint32_t task = num_tasks_.load(std::memory_order_relaxed) - remaining;
    if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel)) continue;
    call(fn, task, thread);
    num_done_.fetch_add(1, std::memory_order_release);
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::worker(int thread) {
  pin_this_thread(cores_[thread]);
  int seen = 0;
  while (true) {
    const auto changed = [this, seen] { return wake_.load(std::memory_order_acquire) != seen; };
    if (!spin_until(changed)) wake_.wait(seen, std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    seen = wake_.load(std::memory_order_acquire);
    work(static_cast<std::uint32_t>(ticket_.load(std::memory_order_acquire) >> 32), thread);
  }
}

Result<std::vector<int>> choose_cores(int num_threads, const std::vector<int>& pinned_cores) {
  if (num_threads < 0) return Error{"num_threads must not be negative", "num_threads"};
  const HostCpus cpus = host_cpus();
  const int count = num_threads == 0 ? cpus.num_threads : num_threads;
  if (pinned_cores.empty()) return std::vector<int>(count, -1);
  CHECK(static_cast<int>(pinned_cores.size()) == count);
  for (const int core : pinned_cores) {
    if (std::ranges::find(cpus.cores, core) == cpus.cores.end())
      return Error{fmt::format("core {} is not one that this process may use", core), "pinned_cores"};
  }
  return pinned_cores;
}

}  // namespace caudal
