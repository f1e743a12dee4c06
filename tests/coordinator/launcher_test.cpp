#include "coordinator/launcher.h"

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
    for (int i = 0; i < 1000 && starts().size() < count; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
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
  const FakeMpirun mpirun("exit 1");
  Result<Launcher> launcher = Launcher::fork_child(launch_config(1));
  ASSERT_TRUE(launcher.ok());
  launcher.value().start("tcp://127.0.0.1:1");
  ASSERT_TRUE(is_fatal(launcher.value(), 10'000));
  EXPECT_NE(launcher.value().read_fatal().find("exit code 1"), std::string::npos);
  EXPECT_EQ(mpirun.starts().size(), 1U);
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
