// The pool: each task once, every job complete when run() returns, no CPU time when idle.
#include "kernels/cpu/threads.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <numeric>

#include "kernels/factory/make_backend.h"
#include "tests/sanitized.h"

namespace caudal {
namespace {

TEST(ThreadPoolTest, RunsEachTaskOnceAndOneAtATimePerThread) {
  ThreadPool pool({-1, -1, -1});
  std::vector<int> busy(3), runs(1000);
  for (int job = 0; job < 200; ++job) {
    const std::int64_t count = job * 5 % 1000;
    std::fill(runs.begin(), runs.end(), 0);
    pool.run(count, [&](std::int64_t task, int thread) {
      ASSERT_EQ(busy[static_cast<std::size_t>(thread)]++, 0);
      ++runs[static_cast<std::size_t>(task)];
      --busy[static_cast<std::size_t>(thread)];
    });
    for (std::int64_t i = 0; i < 1000; ++i) ASSERT_EQ(runs[static_cast<std::size_t>(i)], i < count) << "job " << job;
  }
}

// Workers come late to most of these jobs: a claim must never reach into the next one.
TEST(ThreadPoolTest, ShortJobsBackToBack) {
  ThreadPool pool({-1, -1, -1, -1});
  for (std::int64_t job = 0; job < 20000; ++job) {
    std::int64_t values[3] = {};
    pool.run(3, [&](std::int64_t task, int) { values[task] = job + task; });
    ASSERT_EQ(std::accumulate(values, values + 3, std::int64_t{0}), 3 * job + 3);
  }
}

TEST(ThreadPoolTest, IdleThreadsSleep) {
  ThreadPool pool({-1, -1});
  pool.run(100, [](std::int64_t, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const std::clock_t before = std::clock();  // CPU time of all threads of the process
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 0.003);
}

TEST(ThreadPoolTest, PinsWorkersAndTheCaller) {
  const Result<std::vector<int>> all = choose_cores(0, {});
  ASSERT_TRUE(all.ok());
  cpu_set_t allowed;
  ASSERT_EQ(sched_getaffinity(0, sizeof allowed, &allowed), 0);
  int core = 0;
  while (!CPU_ISSET(static_cast<std::size_t>(core), &allowed)) ++core;
  std::thread([core] {  // a thread of its own: being pinned outlives the pool
    ThreadPool pool({core, core});
    pool.run(10, [core](std::int64_t, int) { EXPECT_EQ(sched_getcpu(), core); });
  })
      .join();
}

// Root may start as many as it likes, so the process becomes another user.
TEST(ThreadPoolDeathTest, TooManyThreadsAreAnErrorThatNamesTheLimit) {
  if (test::kSanitized) GTEST_SKIP() << "a sanitizer's own threads would need the limit, too";
  const auto start = [] {
    const rlimit one{1, 1};
    constexpr uid_t kNobody = 65534;
    if (setrlimit(RLIMIT_NPROC, &one) != 0 || (geteuid() == 0 && setresuid(kNobody, kNobody, kNobody) != 0))
      std::_Exit(0);
    const Result<std::unique_ptr<Backend>> backend = make_backend({.num_threads = 64, .max_isa = ""});
    std::fprintf(stderr, "%s\n", backend ? "started" : backend.error().message.c_str());
    std::_Exit(backend ? 1 : 0);
  };
  EXPECT_EXIT(start(), testing::ExitedWithCode(0), "64 threads.*ulimit -u");
}

TEST(ChooseCoresTest, CountsAndRefuses) {
  EXPECT_EQ(choose_cores(3, {}).value(), (std::vector<int>{-1, -1, -1}));
  EXPECT_GE(choose_cores(0, {}).value().size(), 1U);
  EXPECT_EQ(choose_cores(-1, {}).error().field, "num_threads");
  EXPECT_EQ(choose_cores(1, {CPU_SETSIZE}).error().field, "pinned_cores");
}

}  // namespace
}  // namespace caudal
