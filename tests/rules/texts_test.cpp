// What must not stand in any text of the repository, whatever its language.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> texts() {
  const std::set<std::string> extensions{".h",  ".cpp", ".cu",    ".cuh",  ".md",  ".txt",  ".cmake",
                                         ".py", ".sh",  ".proto", ".toml", ".yml", ".json", ".jinja"};
  std::vector<fs::path> found;
  for (const auto& top : fs::directory_iterator(CAUDAL_SOURCE_DIR)) {
    if (top.is_regular_file()) found.push_back(top.path());
    if (!top.is_directory() || top.path().filename() == "build" || top.path().filename().string().starts_with('.'))
      continue;
    for (const auto& entry : fs::recursive_directory_iterator(top)) {
      if (entry.is_regular_file() && extensions.contains(entry.path().extension())) found.push_back(entry.path());
    }
  }
  return found;
}

TEST(Texts, HaveNoConflictLeftByAMerge) {
  const std::vector<fs::path> files = texts();
  EXPECT_GT(files.size(), 300U);
  for (const fs::path& file : files) {
    std::ifstream stream(file);
    int number = 0;
    for (std::string line; std::getline(stream, line);) {
      ++number;
      const bool is_marker = line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") || line == "=======";
      EXPECT_FALSE(is_marker) << file << ":" << number;
    }
  }
}

}  // namespace
