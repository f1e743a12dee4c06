// What the emulation must find, and with what: each kernel of planted.h runs clean in every schedule, and with a
// planted bug the plain runs, AddressSanitizer or ThreadSanitizer must say so. Proves in every test run that race
// detection is on. On a GPU, where only the clean runs make sense, these are the tests of the ptx wrappers.
#include "tests/kernels/cuda/emulation/simt/planted.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "tests/kernels/cuda/device.h"
#include "tests/kernels/cuda/emulation.h"

namespace caudal::planted {
namespace {

using test::DeviceArray;

std::vector<float> normal(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> values(n);
  for (float& v : values) v = distribution(random);
  return values;
}
std::vector<Half> normal_bf16(std::size_t n, unsigned seed) {
  std::vector<Half> values;
  for (const float v : normal(n, seed)) values.push_back(__float2bfloat16(v));
  return values;
}
bool near(double a, double b, double tolerance) { return std::abs(a - b) <= tolerance; }  // false for NaN

// Each runs one kernel and says whether the result is right.
bool mean_variance_is_right(Bug bug) {
  const std::vector<float> x = normal(1000, 1);
  const DeviceArray<float> in(x), out(2, NAN);
  mean_variance(out.data(), in.data(), 1000, bug);
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / 1000;
  double variance = 0;
  for (const float v : x) variance += (v - mean) * (v - mean) / 1000;
  return near(out.read()[0], mean, 1e-5) && near(out.read()[1], variance, 1e-4);
}
bool reverse_lanes_is_right(Bug bug) {
  const std::vector<float> x = normal(128, 2);
  const DeviceArray<float> in(x), out(128, NAN);
  reverse_lanes(out.data(), in.data(), bug);
  bool right = true;
  for (std::size_t i = 0; i < 128; ++i) right = right && out.read()[i] == x[i / 32 * 32 + 31 - i % 32];
  return right;
}
bool sum_by_last_block_is_right(Bug bug) {
  const std::vector<float> x = normal(1024, 3);
  const DeviceArray<float> in(x), out(1, NAN), parts(4, NAN);
  const DeviceArray<unsigned> counter(1, 0);
  sum_by_last_block(out.data(), parts.data(), counter.data(), in.data(), 1024, 4, bug);
  return near(out.read()[0], std::accumulate(x.begin(), x.end(), 0.0), 1e-3);
}
bool histogram_is_right(Bug bug) {
  std::vector<int> x, expected(8);
  for (int i = 0; i < 1000; ++i) ++expected[static_cast<std::size_t>(x.emplace_back(i * i % 8))];
  const DeviceArray<int> in(x), bins(8, 0);
  histogram(bins.data(), in.data(), 1000, bug);
  return bins.read() == expected;
}
bool sum_fours_is_right(Bug bug) {
  const std::vector<float> x = normal(132, 4);
  const DeviceArray<float> in(x), out(32, NAN);
  sum_fours(out.data(), in.data(), bug);
  const std::size_t first = bug == Bug::kMisaligned ? 1 : 0;  // x86 loads it all the same
  bool right = true;
  for (std::size_t i = 0; i < 32; ++i) {
    right = right && near(out.read()[i], std::accumulate(&x[first + 4 * i], &x[first + 4 * i + 4], 0.0), 1e-5);
  }
  return right;
}
bool hand_over_is_right(Bug bug) {
  const DeviceArray<int> out(128, 0);
  hand_over(out.data(), bug);
  return out.read() == std::vector<int>(128, 42);
}
bool warp_operations_is_right(Bug bug) {
  const DeviceArray<unsigned> out(4, 0);
  warp_operations(out.data(), bug);
  return out.read() == std::vector<unsigned>{0xAAAAAAAA, 31, 0x0000FF00, 11};
}

// out [m, n] against a [m, k] times b, which `b_at(k, n)` reads.
template <class BAt>
bool product_is_right(const std::vector<float>& out, const std::vector<Half>& a, std::size_t m, std::size_t n,
                      std::size_t k, BAt b_at) {
  bool right = true;
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::size_t l = 0; l < k; ++l) {
        sum += static_cast<double>(__bfloat162float(a[i * k + l])) * static_cast<double>(__bfloat162float(b_at(l, j)));
      }
      right = right && near(out[i * n + j], sum, 1e-3);
    }
  }
  return right;
}
bool matmul_sm80_is_right(Bug bug) {
  const std::vector<Half> a = normal_bf16(16 * 64, 5), b = normal_bf16(64 * 8, 6);
  const DeviceArray<Half> da(a), db(b);
  const DeviceArray<float> out(16 * 8, 0.0F);
  matmul_sm80(out.data(), da.data(), db.data(), bug);
  return product_is_right(out.read(), a, 16, 8, 64, [&](std::size_t k, std::size_t n) { return b[k * 8 + n]; });
}
bool matmul_wgmma_is_right(Bug bug) {
  const std::vector<Half> a = normal_bf16(64 * 64, 7), b = normal_bf16(64 * 64, 8);
  const DeviceArray<Half> da(a), db(b);
  const DeviceArray<float> out(64 * 64, NAN);
  matmul_wgmma(out.data(), da.data(), db.data(), bug);
  return product_is_right(out.read(), a, 64, 64, 64, [&](std::size_t k, std::size_t n) { return b[n * 64 + k]; });
}
bool matmul_tma_is_right(Bug bug) {
  constexpr std::size_t kDepth = 5 * 64;
  const std::vector<Half> a = normal_bf16(64 * kDepth, 9), b = normal_bf16(64 * kDepth, 10);
  const DeviceArray<Half> da(a), db(b);
  const DeviceArray<float> out(64 * 64, NAN);
  matmul_tma(out.data(), da.data(), db.data(), kDepth, bug);
  return product_is_right(out.read(), a, 64, 64, kDepth,
                          [&](std::size_t k, std::size_t n) { return b[n * kDepth + k]; });
}

struct Kernel {
  const char* name;
  bool (*is_right)(Bug);
  bool sm90 = false;
};
constexpr Kernel kMeanVariance{"mean_variance", mean_variance_is_right},
    kReverse{"reverse_lanes", reverse_lanes_is_right}, kLastBlock{"sum_by_last_block", sum_by_last_block_is_right},
    kHistogram{"histogram", histogram_is_right}, kFours{"sum_fours", sum_fours_is_right},
    kHandOver{"hand_over", hand_over_is_right}, kWarp{"warp_operations", warp_operations_is_right},
    kSm80{"matmul_sm80", matmul_sm80_is_right}, kWgmma{"matmul_wgmma", matmul_wgmma_is_right, true},
    kTma{"matmul_tma", matmul_tma_is_right, true};

class CleanTest : public testing::TestWithParam<Kernel> {};
INSTANTIATE_TEST_SUITE_P(Kernels, CleanTest,
                         testing::Values(kMeanVariance, kReverse, kLastBlock, kHistogram, kFours, kHandOver, kWarp,
                                         kSm80, kWgmma, kTma),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(CleanTest, IsRightInEverySchedule) {
  if (!test::has_device() || (GetParam().sm90 && !has_sm90())) GTEST_SKIP() << "needs a GPU that is not here";
  test::for_each_schedule([] { EXPECT_TRUE(GetParam().is_right(Bug::kNone)); });
}

// Who must find a bug. Plain: a wrong result or an error in at least one schedule, error if `message` is given.
struct Planted {
  const char* name;
  Kernel kernel;
  Bug bug;
  bool plain, address, thread;
  const char* message = "";
};
const Planted kPlanted[] = {
    {"MissingSync", kMeanVariance, Bug::kMissingSync, true, true, true},
    {"MissingReuseSync", kMeanVariance, Bug::kMissingReuseSync, true, false, true},
    {"Uninitialised", kMeanVariance, Bug::kUninitialised, false, true, false, "found: a wrong result"},
    {"ReadPastEnd", kMeanVariance, Bug::kReadPastEnd, false, true, false},
    {"DivergentBarrier", kMeanVariance, Bug::kDivergentBarrier, true, true, true,
     "divergent __syncthreads.*planted.cu:"},
    {"MissingArrival", kMeanVariance, Bug::kMissingArrival, true, true, true,
     "deadlock.*32 threads wait for __syncthreads at planted.cu.*224 threads wait for a named barrier"},
    {"MissingSyncWarp", kReverse, Bug::kMissingSyncWarp, true, true, true},
    {"SharedPastEnd", kReverse, Bug::kSharedPastEnd, false, true, false},
    {"MissingFence", kLastBlock, Bug::kMissingFence, false, false, true},
    {"PlainAdd", kHistogram, Bug::kPlainAdd, false, false, true},
    {"Misaligned", kFours, Bug::kMisaligned, false, true, false},
    {"WrongBarrierCount", kHandOver, Bug::kWrongBarrierCount, true, true, true, "barrier 1: threads disagree"},
    {"ExitedLane", kWarp, Bug::kExitedLane, true, true, true, "source lane has exited|with exited lanes"},
    {"MissingWait", kSm80, Bug::kMissingWait, true, true, true},
    {"MissingTrailingSync", kSm80, Bug::kMissingTrailingSync, true, false, true},
    {"WrongTranspose", kSm80, Bug::kWrongTranspose, true, true, true},
    {"MissingProxyFence", kWgmma, Bug::kMissingProxyFence, false, false, true},
    {"MissingMatrixWait", kWgmma, Bug::kMissingMatrixWait, true, true, true},
    {"WrongStride", kWgmma, Bug::kWrongStride, true, true, true},
    {"TmaMissingInitSync", kTma, Bug::kMissingSync, true, true, true, "not initialised"},
    {"TmaWrongBytes", kTma, Bug::kWrongBytes, true, true, true},
    {"TmaWrongParity", kTma, Bug::kWrongParity, true, true, true, "deadlock.*an mbarrier"},
    {"TmaMissingWait", kTma, Bug::kMissingWait, true, true, true},
    {"TmaEarlyRelease", kTma, Bug::kEarlyRelease, true, true, true},
};

class PlantedDeathTest : public testing::TestWithParam<Planted> {};
INSTANTIATE_TEST_SUITE_P(Bugs, PlantedDeathTest, testing::ValuesIn(kPlanted),
                         [](const auto& info) { return std::string(info.param.name); });

// In a process of its own, because sanitizers end it: dies with what was found, or ends with 0.
void run_all_schedules(const Planted& planted) {
  test::for_each_schedule([&] {
    std::string error;
    const bool right = test::catch_error([&] { return planted.kernel.is_right(planted.bug); }, &error);
    if (right) return;
    std::fprintf(stderr, "found: %s\n", error.empty() ? "a wrong result" : error.c_str());
    std::_Exit(1);
  });
  std::_Exit(0);
}

TEST_P(PlantedDeathTest, IsFound) {
  if (!test::on_emulation()) GTEST_SKIP() << "only the emulation finds planted bugs";
  const Planted& planted = GetParam();
  testing::FLAGS_gtest_death_test_style = "fast";
  switch (test::sanitizer()) {
    case test::Sanitizer::kNone:
      if (!planted.plain) GTEST_SKIP() << "not to be found without a sanitizer";
      EXPECT_EXIT(run_all_schedules(planted), testing::ExitedWithCode(1), planted.message);
      break;
    case test::Sanitizer::kAddress:
      if (!planted.address) GTEST_SKIP() << "not AddressSanitizer's";
      EXPECT_DEATH(run_all_schedules(planted),
                   planted.plain || *planted.message != 0 ? planted.message : "AddressSanitizer|runtime error");
      break;
    case test::Sanitizer::kThread:
      if (!planted.thread) GTEST_SKIP() << "not ThreadSanitizer's";
      EXPECT_DEATH(run_all_schedules(planted), planted.plain ? "found:|data race" : "data race");
      break;
  }
}

TEST(BankConflicts, AreCounted) {
  if (!test::on_emulation()) GTEST_SKIP() << "counted by the emulation";
  test::count_bank_conflicts();
  EXPECT_TRUE(matmul_sm80_is_right(Bug::kNone));
  EXPECT_EQ(test::count_bank_conflicts(), 0U);
  EXPECT_TRUE(matmul_sm80_is_right(Bug::kUnswizzled));
  EXPECT_GT(test::count_bank_conflicts(), 0U);
}

}  // namespace
}  // namespace caudal::planted
