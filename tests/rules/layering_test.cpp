// The dependency rules of the design, checked on the includes of every source file: a forbidden include
// fails here with file and line, from the first day on.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

struct Include {
  std::string file;  // "coordinator/engine/engine.cpp"
  int line = 0;
  std::string target;  // "common/queue.h"
};

bool starts_with_any(const std::string& text, const std::vector<std::string>& prefixes) {
  for (const std::string& prefix : prefixes) {
    if (text.starts_with(prefix)) return true;
  }
  return false;
}

std::vector<std::string> source_files() {
  const fs::path root = CAUDAL_SOURCE_DIR;
  std::vector<std::string> files;
  for (const char* folder : {"proto", "common", "kernels", "worker", "coordinator"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension();
      if (std::set<std::string>{".h", ".cpp", ".cu", ".cuh"}.contains(extension)) {
        files.push_back(fs::relative(entry.path(), root));
      }
    }
  }
  return files;
}

std::string read(const std::string& file) {
  std::ifstream stream(fs::path(CAUDAL_SOURCE_DIR) / file);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<Include> includes() {
  std::vector<Include> found;
  for (const std::string& file : source_files()) {
    std::istringstream lines(read(file));
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      if (!line.starts_with("#include ")) continue;
      const auto begin = line.find_first_of("\"<") + 1;
      found.push_back({file, number, line.substr(begin, line.find_first_of("\">", begin) - begin)});
    }
  }
  return found;
}

std::string where(const Include& include) {
  return include.file + ":" + std::to_string(include.line) + " includes " + include.target;
}

TEST(Layering, FoldersIncludeOnlyWhatTheyMay) {
  const std::map<std::string, std::vector<std::string>> allowed = {
      {"proto", {"proto/"}},
      {"common", {"common/", "proto/"}},
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

TEST(Layering, OnlyWireSeesTheControlMessages) {
  for (const Include& include : includes()) {
    if (include.target == "proto/control.pb.h") {
      EXPECT_EQ(include.file, "common/wire.cpp") << where(include);
    }
  }
}

TEST(Layering, TheSchedulerIsPure) {
  const std::vector<std::string> pure = {"coordinator/scheduler/scheduler",
                                         "coordinator/scheduler/sequence.h",
                                         "coordinator/policy/draft_length",
                                         "coordinator/kv/kv_manager",
                                         "coordinator/kv/block_pool",
                                         "coordinator/scheduler/placement",
                                         "coordinator/scheduler/admission",
                                         "coordinator/kv/host_pool",
                                         "coordinator/kv/swap_cost",
                                         "coordinator/policy/queue_policy",
                                         "coordinator/scheduler/waiting_queue",
                                         "coordinator/kv/prefix",
                                         "coordinator/request/request.h",
                                         "coordinator/policy/step_budget",
                                         "coordinator/policy/tenants",
                                         "coordinator/beam_"};
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

TEST(Layering, BuildFeaturesAreAskedForInTwoFiles) {
  const std::set<std::string> factories = {"kernels/factory/make_backend.cpp", "worker/comm/make.cpp"};
  for (const std::string& file : source_files()) {
    std::istringstream lines(read(file));
    for (std::string line; std::getline(lines, line);) {
      const bool feature = line.starts_with("#if") && line.find("CAUDAL_WITH_") != std::string::npos;
      if (feature) {
        EXPECT_TRUE(factories.contains(file)) << file << ": " << line;
      }
    }
  }
}

TEST(Layering, SharedMutexesLiveInTheQueue) {
  for (const std::string& file : source_files()) {
    if (file == "common/queue.h" || file.starts_with("kernels/")) continue;
    EXPECT_EQ(read(file).find("std::mutex"), std::string::npos) << file << " declares a mutex of its own";
  }
}

// A source that no CMakeLists.txt names is dead code that no compiler checks.
TEST(Layering, EverySourceIsInABuildList) {
  for (const std::string& file : source_files()) {
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
