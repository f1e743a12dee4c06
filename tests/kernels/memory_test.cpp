// Allocation refuses what the machine cannot hold, and control groups count.
#include "kernels/cpu/memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "kernels/factory/make_backend.h"

namespace caudal {
namespace {

namespace fs = std::filesystem;

TEST(Memory, BuffersAreAlignedAndWritable) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, std::size_t{5} << 20}) {
    const Result<Buffer> buffer = allocate_host(bytes);
    ASSERT_TRUE(buffer.ok());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.value().data()) % 64, 0U);
    EXPECT_EQ(buffer.value().bytes(), bytes);
    std::memset(buffer.value().data(), 1, bytes);
  }
}

TEST(Memory, AbsurdSizesAreAnErrorNotAnException) {
  Result<std::unique_ptr<Backend>> backend = make_backend({});
  ASSERT_TRUE(backend.ok());
  for (const std::size_t bytes : {std::size_t{1} << 50, std::numeric_limits<std::size_t>::max()}) {
    const Result<Buffer> buffer = backend.value()->allocate(bytes);
    ASSERT_FALSE(buffer.ok());
    EXPECT_NE(buffer.error().message.find("are free"), std::string::npos);
  }
}

TEST(Memory, DeviceInfoIsPlausible) {
  Result<std::unique_ptr<Backend>> backend = make_backend({});
  const DeviceInfo info = backend.value()->info();
  EXPECT_GT(info.total_memory_bytes, std::size_t{64} << 20);
  EXPECT_LE(info.free_memory_bytes, info.total_memory_bytes);
  EXPECT_EQ(info.name.substr(0, 5), "cpu: ");
}

TEST(Backend, UnknownDevicesAndInstructionSetsAreErrors) {
  BackendOptions options;
  options.device = "abacus";
  EXPECT_EQ(make_backend(options).error().field, "device");
  options = {};
  options.max_isa = "mmx";
  EXPECT_EQ(make_backend(options).error().field, "max_isa");
}

class ControlGroups : public testing::Test {
 protected:
  ControlGroups() : root_(fs::temp_directory_path() / ("caudal-memory-" + std::to_string(getpid()))) {
    write("proc/meminfo", "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 800 kB\n");
  }
  ~ControlGroups() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  HostMemory read() const { return host_memory(root_.string()); }
  fs::path root_;
};

TEST_F(ControlGroups, AbsentMeansTheMachine) {
  EXPECT_EQ(read().total_bytes, 1000U * 1024);
  EXPECT_EQ(read().free_bytes, 800U * 1024);
}

TEST_F(ControlGroups, TheTightestOfAllAboveTheProcessCounts) {
  write("proc/self/cgroup", "0::/outer/inner\n");
  write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
  write("sys/fs/cgroup/outer/memory.max", "500000\n");
  write("sys/fs/cgroup/outer/memory.current", "200000\n");
  EXPECT_EQ(read().total_bytes, 500000U);
  EXPECT_EQ(read().free_bytes, 300000U);
}

TEST_F(ControlGroups, Version1GroupsCountToo) {
  write("proc/self/cgroup", "9:cpu,cpuacct:/a\n7:memory:/a\n");
  write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "100000\n");
  write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "150000\n");
  EXPECT_EQ(read().total_bytes, 100000U);
  EXPECT_EQ(read().free_bytes, 0U);
}

}  // namespace
}  // namespace caudal
