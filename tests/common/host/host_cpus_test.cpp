// Affinity is this process's own; nodes and quotas come from a folder that stands for "/".
#include "common/host/host_cpus.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/temporary_dir.h"

namespace caudal {
namespace {

class HostCpusTest : public testing::Test {
 protected:
  void write(const std::filesystem::path& file, const std::string& text) {
    std::filesystem::create_directories((dir_.path() / file).parent_path());
    dir_.write(file, text);
  }
  HostCpus read() const { return host_cpus(dir_.path()); }
  void SetUp() override {
    if (read().cores.size() < 2) GTEST_SKIP() << "one core leaves nothing to divide";
  }

  TemporaryDir dir_;
};

TEST_F(HostCpusTest, WithoutLimitsAllCoresAreOfOneNode) {
  const HostCpus cpus = read();
  EXPECT_EQ(cpus.num_threads, static_cast<int>(cpus.cores.size()));
  EXPECT_EQ(cpus.num_nodes, 1);
  EXPECT_FALSE(cpus.has_quota());
}

TEST_F(HostCpusTest, CoresComeNodeByNode) {
  const std::vector<int> cores = read().cores;
  write("sys/devices/system/node/node0/cpulist", fmt::format("{}\n", cores[1]));
  write("sys/devices/system/node/node1/cpulist", fmt::format("{},{}-4000\n", cores[0], cores[1] + 1));
  write("sys/devices/system/node/has_cpu", "0-1\n");
  EXPECT_EQ(read().cores[0], cores[1]);
  EXPECT_EQ(read().cores[1], cores[0]);
  EXPECT_EQ(read().num_nodes, 2);
}

TEST_F(HostCpusTest, TheLeastQuotaOfAllGroupsAboveHolds) {
  write("proc/self/cgroup", "0::/a/b\n");
  write("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_FALSE(read().has_quota());
  write("sys/fs/cgroup/a/cpu.max", "190000 100000\n");
  EXPECT_EQ(read().num_threads, 1);
  EXPECT_TRUE(read().has_quota());
  write("sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(read().num_threads, 1);
  write("sys/fs/cgroup/a/b/cpu.max", "200000 100000\n");
  write("sys/fs/cgroup/a/cpu.max", "200000 100000\n");
  EXPECT_EQ(read().num_threads, 2);
}

TEST_F(HostCpusTest, InAContainerTheGroupIsAtTheTop) {
  write("proc/self/cgroup", "0::/docker/0123456789ab\n");
  write("sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(read().num_threads, 1);
}

TEST_F(HostCpusTest, VersionOneHasTwoFiles) {
  write("proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/x\n0::/\n");
  write("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
  EXPECT_FALSE(read().has_quota());
  write("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "100000\n");
  EXPECT_EQ(read().num_threads, 1);
}

}  // namespace
}  // namespace caudal
