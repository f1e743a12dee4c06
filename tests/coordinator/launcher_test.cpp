#include "coordinator/launcher.h"

#include <gtest/gtest.h>

namespace caudal {
namespace {

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
