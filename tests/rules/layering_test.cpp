// The dependency rules of the design, checked on the includes of every source file: a forbidden include
// fails here with file and line, from the first day on.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/rules/sources.h"

namespace caudal::rules {
namespace {

bool starts_with_any(const std::string& text, const std::vector<std::string>& prefixes) {
  for (const std::string& prefix : prefixes) {
    if (text.starts_with(prefix)) return true;
  }
  return false;
}

std::vector<Include> includes() { return includes_of(product_sources()); }

TEST(Layering, FoldersIncludeOnlyWhatTheyMay) {
  const std::map<std::string, std::vector<std::string>> allowed = {
      {"proto", {"proto/"}},
      {"common", {"common/"}},
      {"kernels", {"kernels/", "common/"}},
      {"worker", {"worker/", "kernels/", "common/"}},
      {"coordinator", {"coordinator/", "common/", "proto/gateway.pb.h"}},
  };
  const std::vector<std::string> folders = {"proto/",       "common/", "kernels/", "worker/",
                                            "coordinator/", "tests/",  "deploy/"};
  const auto all = includes();
  ASSERT_GT(all.size(), 100U) << "the sources were not found";
  for (const Include& include : all) {
    if (!starts_with_any(include.target, folders)) continue;
    EXPECT_TRUE(starts_with_any(include.target, allowed.at(include.file.substr(0, include.file.find('/')))))
        << where(include);
  }
}

// The same calls give the same plans: nothing here knows a clock, a thread, a socket or an order by chance.
TEST(Layering, TheSchedulerIsPure) {
  const std::vector<std::string> pure = {"coordinator/kv/", "coordinator/policy/", "coordinator/request/",
                                         "coordinator/scheduler/", "coordinator/sequence/"};
  const std::set<std::string> impure = {"chrono", "thread",         "mutex",           "atomic",
                                        "random", "unordered_map",  "unordered_set",   "cstdlib",
                                        "ctime",  "common/queue.h", "common/socket.h", "common/log.h"};
  for (const Include& include : includes()) {
    if (!starts_with_any(include.file, pure)) continue;
    EXPECT_FALSE(impure.contains(include.target)) << where(include);
    if (include.target.starts_with("coordinator/")) {
      EXPECT_TRUE(starts_with_any(include.target, pure)) << where(include);
    }
  }
}

// What a simulation runs with its own clock and links. Lookups in an unordered map are fine there.
TEST(Layering, TheEngineTurnIsPure) {
  const std::set<std::string> impure = {"chrono",
                                        "thread",
                                        "mutex",
                                        "atomic",
                                        "random",
                                        "cstdlib",
                                        "ctime",
                                        "common/queue.h",
                                        "common/socket.h",
                                        "common/log.h",
                                        "coordinator/cluster/worker_link.h"};
  for (const Include& include : includes()) {
    if (!starts_with_any(include.file, {"coordinator/engine/engine_core", "coordinator/cluster/cluster"})) continue;
    EXPECT_FALSE(impure.contains(include.target)) << where(include);
  }
}

TEST(Layering, DevicesDoNotKnowEachOther) {
  for (const Include& include : includes()) {
    if (include.file.starts_with("kernels/cpu/")) {
      EXPECT_FALSE(include.target.starts_with("kernels/cuda/")) << where(include);
    }
    if (include.file.starts_with("kernels/cuda/")) {
      EXPECT_FALSE(include.target.starts_with("kernels/cpu/")) << where(include);
    }
  }
}

TEST(Layering, TheCoordinatorKnowsNoDevice) {
  const std::vector<std::string> device = {"cuda", "nccl", "mpi.h", "dnnl", "oneapi/"};
  for (const Include& include : includes()) {
    if (include.file.starts_with("coordinator/")) {
      EXPECT_FALSE(starts_with_any(include.target, device)) << where(include);
    }
  }
}

TEST(Layering, BuildFeaturesAreAskedForInOneFile) {
  for (const std::string& file : product_sources()) {
    std::istringstream lines(read(file));
    for (std::string line; std::getline(lines, line);) {
      const bool feature = line.starts_with("#if") && line.find("CAUDAL_WITH_") != std::string::npos;
      if (feature) {
        EXPECT_EQ(file, "kernels/factory/make_backend.cpp") << file << ": " << line;
      }
    }
  }
}

TEST(Layering, SharedMutexesLiveInTheQueue) {
  for (const std::string& file : product_sources()) {
    if (file == "common/queue.h" || file.starts_with("kernels/")) continue;
    EXPECT_EQ(read(file).find("std::mutex"), std::string::npos) << file << " declares a mutex of its own";
  }
}

// A source that no CMakeLists.txt names is dead code that no compiler checks.
TEST(Layering, EverySourceIsInABuildList) {
  for (const std::string& file : product_sources()) {
    const fs::path path(file);
    if (path.extension() == ".h" || path.extension() == ".cuh") continue;
    bool listed = false;
    for (fs::path folder = path.parent_path(); !folder.empty() && !listed; folder = folder.parent_path()) {
      const std::string list = read((folder / "CMakeLists.txt").string());
      listed = list.find(fs::relative(path, folder).string()) != std::string::npos;
    }
    EXPECT_TRUE(listed) << file;
  }
}

}  // namespace
}  // namespace caudal::rules
