#include "coordinator/cluster/launcher.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace caudal {
namespace {

// An mpirun that notes its arguments and ends with a code of its own, or waits to be told to.
class FakeMpirun {
 public:
  explicit FakeMpirun(const std::string& script) {
    std::ofstream(folder_ / "mpirun") << "#!/bin/sh\necho \"$@\" >> " << log().string() << "\n" << script << "\n";
    std::filesystem::permissions(folder_ / "mpirun", std::filesystem::perms::owner_all);
    setenv("PATH", (folder_.string() + ":" + path_).c_str(), 1);
  }
  ~FakeMpirun() {
    setenv("PATH", path_.c_str(), 1);
    std::filesystem::remove_all(folder_);
  }

  std::filesystem::path log() const { return folder_ / "log"; }
  std::vector<std::string> starts() const {
    std::vector<std::string> lines;
    std::ifstream file(log());
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  // Whether so many were started within 10 s.
  bool has_started(std::size_t count) const {
    for (int i = 0; i < 1000 && starts().size() < count; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return starts().size() >= count;
  }

 private:
  static std::filesystem::path make_folder() {
    std::string pattern = std::filesystem::temp_directory_path() / "caudal-launcher-XXXXXX";
    return mkdtemp(pattern.data());
  }
  const std::string path_ = std::getenv("PATH");
  const std::filesystem::path folder_ = make_folder();
};

LaunchConfig launch_config(int num_replicas) {
  LaunchConfig config;
  config.num_replicas = num_replicas;
  config.worker_path = "/bin/false";
  return config;
}

bool is_fatal(const Launcher& launcher, int milliseconds) {
  pollfd fd{.fd = launcher.fatal_fd(), .events = POLLIN, .revents = 0};
  return poll(&fd, 1, milliseconds) == 1;
}

TEST(AssignHosts, FillsSlotsInOrder) {
  const auto hosts = assign_hosts("# cluster\none slots=3\ntwo slots=4 max_slots=8\n\nthree\n", 4, 2);
  ASSERT_TRUE(hosts.ok());
  EXPECT_EQ(hosts.value(), (std::vector<std::string>{"one:2", "one:1,two:1", "two:2", "two:1,three:1"}));
}

TEST(AssignHosts, TooFewSlotsIsAnErrorThatNamesTheFile) {
  const auto hosts = assign_hosts("one slots=3\n", 2, 2);
  ASSERT_FALSE(hosts.ok());
  EXPECT_EQ(hosts.error().field, "hostfile");
}

TEST(Launcher, AReplicaThatCrashesIsStartedAgain) {
  const FakeMpirun mpirun("exit 77");
  Result<Launcher> launcher = Launcher::fork_child(launch_config(1));
  ASSERT_TRUE(launcher.ok());
  EXPECT_TRUE(mpirun.starts().empty()) << "nobody has told it where the coordinator is";
  launcher.value().start("tcp://127.0.0.1:1");
  EXPECT_TRUE(mpirun.has_started(2));
  EXPECT_FALSE(is_fatal(launcher.value(), 0));
}

TEST(Launcher, AReplicaThatCannotRunIsNotStartedAgain) {
  const FakeMpirun mpirun("exit 15");
  Result<Launcher> launcher = Launcher::fork_child(launch_config(1));
  ASSERT_TRUE(launcher.ok());
  launcher.value().start("tcp://127.0.0.1:1");
  ASSERT_TRUE(is_fatal(launcher.value(), 10'000));
  EXPECT_NE(launcher.value().read_fatal().find("exit code 15"), std::string::npos);
  EXPECT_EQ(mpirun.starts().size(), 1U);
}

// mpirun's own code, when it is told to end in its first minute, say.
TEST(Launcher, WhatMpirunEndsWithIsNotTakenForARefusal) {
  const FakeMpirun mpirun("exit 1");
  Result<Launcher> launcher = Launcher::fork_child(launch_config(1));
  ASSERT_TRUE(launcher.ok());
  launcher.value().start("tcp://127.0.0.1:1");
  EXPECT_TRUE(mpirun.has_started(2));
  EXPECT_FALSE(is_fatal(launcher.value(), 0));
}

// Each replica has a folder of its own: its name stands behind orte_tmpdir_base.
std::string folder_in(const std::string& arguments) {
  const std::string name = "orte_tmpdir_base ";
  const std::size_t begin = arguments.find(name) + name.size();
  return arguments.substr(begin, arguments.find(' ', begin) - begin);
}

TEST(Launcher, AReplicaThatCannotRunIsTriedAgainWhileAnotherRuns) {
  const FakeMpirun mpirun("mkdir $0.first && exec sleep 1000; exit 15");
  Result<Launcher> launcher = Launcher::fork_child(launch_config(2));
  ASSERT_TRUE(launcher.ok());
  launcher.value().start("tcp://127.0.0.1:1");
  EXPECT_TRUE(mpirun.has_started(3));
  EXPECT_FALSE(is_fatal(launcher.value(), 0));
}

TEST(Launcher, ReplicasKeepApartAndLeaveNothingBehind) {
  const FakeMpirun mpirun("for a; do case $a in /dev/shm/*) touch $a/segment; esac; done; exec sleep 1000");
  std::vector<std::string> folders;
  {
    Result<Launcher> launcher = Launcher::fork_child(launch_config(2));
    ASSERT_TRUE(launcher.ok());
    launcher.value().start("tcp://127.0.0.1:1");
    ASSERT_TRUE(mpirun.has_started(2));
    for (const std::string& arguments : mpirun.starts()) folders.push_back(folder_in(arguments));
    EXPECT_NE(folders[0], folders[1]);
    for (const std::string& folder : folders) EXPECT_TRUE(std::filesystem::exists(folder)) << folder;
  }
  for (const std::string& folder : folders) EXPECT_FALSE(std::filesystem::exists(folder)) << folder;
}

TEST(Launcher, ReplicasOfOneHostShareItsMemoryAndEndWithTheLauncher) {
  const FakeMpirun mpirun("exec sleep 1000");
  {
    Result<Launcher> launcher = Launcher::fork_child(launch_config(2));
    ASSERT_TRUE(launcher.ok());
    launcher.value().start("tcp://127.0.0.1:1");
    ASSERT_TRUE(mpirun.has_started(2));
    for (const std::string& arguments : mpirun.starts()) {
      EXPECT_NE(arguments.find("--ranks-on-host 2"), std::string::npos) << arguments;
    }
  }
  EXPECT_EQ(mpirun.starts().size(), 2U);
}

std::string command_of(const LaunchConfig& config, int replica, const std::string& hosts = "") {
  return fmt::format("{} ", fmt::join(mpirun_command(config, "tcp://h:1", replica, hosts, ""), " "));
}

std::size_t count_of(const std::string& text, const std::string& word) {
  std::size_t count = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

TEST(MpirunCommand, TheOperatorsShareOfTheHostWins) {
  for (const std::vector<std::string>& given :
       {std::vector<std::string>{"--threads=3"}, {"--threads", "3"}, {"--threads=3", "--dtype=f32"}}) {
    LaunchConfig config = launch_config(2);
    config.operator_args = given;
    const std::string first = command_of(config, 0), second = command_of(config, 1);
    EXPECT_EQ(count_of(second, "--threads"), 1U) << second;
    EXPECT_EQ(count_of(second, "--ranks-on-host 2 "), 1U) << second;
    const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    if (first.find("--first-core 0 ") == std::string::npos) continue;  // cores were taken from this process
    EXPECT_NE(second.find(fmt::format("--first-core {} ", 3 % cores)), std::string::npos) << second;
  }
  LaunchConfig config = launch_config(2);
  config.operator_args = {"--first-core=4", "--ranks-on-host=8"};
  EXPECT_EQ(count_of(command_of(config, 1), "--first-core"), 1U);
  EXPECT_EQ(count_of(command_of(config, 1), "--ranks-on-host"), 1U);
}

TEST(MpirunCommand, ReplicasWithHostsOfTheirOwnShareNothing) {
  EXPECT_EQ(count_of(command_of(launch_config(2), 1, "one:1"), "--threads"), 0U);
  EXPECT_EQ(count_of(command_of(launch_config(1), 0), "--threads"), 0U);
}

TEST(Launcher, WhatTheCoordinatorSetsIsNotSetTwice) {
  for (const char* argument : {"--model=other", "--tensor-parallel=4", "--coordinator"}) {
    LaunchConfig config = launch_config(1);
    config.worker_args = {"--model", "one"};
    config.operator_args = {"--dtype=f32", argument};
    const auto launcher = Launcher::fork_child(config);
    ASSERT_FALSE(launcher.ok()) << argument;
    EXPECT_EQ(launcher.error().field, "worker-arg");
  }
}

TEST(Launcher, AMissingHostfileIsAnError) {
  LaunchConfig config;
  config.worker_path = "/bin/false";
  config.hostfile = "/nonexistent";
  const auto launcher = Launcher::fork_child(config);
  ASSERT_FALSE(launcher.ok());
  EXPECT_EQ(launcher.error().field, "hostfile");
}

}  // namespace
}  // namespace caudal
