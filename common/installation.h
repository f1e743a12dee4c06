// Paths in the configuration samples are those of the installation, which may be moved.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

namespace caudal {

// A relative path that is not there is looked for in the installation, beside the folder of this program.
inline std::string from_installation(std::string path) {
  std::error_code error;
  if (path.empty() || std::filesystem::path(path).is_absolute() || std::filesystem::exists(path, error)) return path;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path installed = program.parent_path().parent_path() / path;
  return std::filesystem::exists(installed, error) ? installed.string() : path;
}

}  // namespace caudal
