// The project's own sources and what they include, for the tests of this folder.
#pragma once

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace caudal::rules {

namespace fs = std::filesystem;

struct Include {
  std::string file;  // "coordinator/engine/engine.cpp"
  int line = 0;
  std::string target;  // "common/queue.h"
};

inline std::string read(const std::string& file) {
  std::ifstream stream(fs::path(CAUDAL_SOURCE_DIR) / file);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

// C++ and CUDA files below these folders, relative to the root of the repository, in order.
inline std::vector<std::string> sources_in(const std::vector<std::string>& folders) {
  const std::set<std::string> extensions{".h", ".cpp", ".cu", ".cuh"};
  const fs::path root = CAUDAL_SOURCE_DIR;
  std::set<std::string> files;
  for (const std::string& folder : folders) {
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (extensions.contains(entry.path().extension())) files.insert(fs::relative(entry.path(), root));
    }
  }
  return {files.begin(), files.end()};
}

inline std::vector<std::string> product_sources() {
  return sources_in({"proto", "common", "kernels", "worker", "coordinator"});
}

inline std::vector<Include> includes_of(const std::vector<std::string>& files) {
  std::vector<Include> found;
  for (const std::string& file : files) {
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

inline std::string where(const Include& include) {
  return include.file + ":" + std::to_string(include.line) + " includes " + include.target;
}

}  // namespace caudal::rules
