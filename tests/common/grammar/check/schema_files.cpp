// See schema_files.h.
#include "tests/common/grammar/check/schema_files.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/common/grammar/check/raw_json.h"
#include "tests/temporary_dir.h"

namespace caudal {
namespace {

namespace fs = std::filesystem;

void unpack(const fs::path& archive, const fs::path& directory) {
  std::string file = archive.string();
  std::string into = directory.string();
  std::array<std::string, 5> words = {"tar", "-xf", file, "-C", into};
  std::array<char*, 6> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
  pid_t child = 0;
  int status = -1;
  if (posix_spawnp(&child, "tar", nullptr, nullptr, arguments.data(), environ) != 0 ||
      waitpid(child, &status, 0) != child || status != 0)
    throw std::runtime_error(fmt::format("tar cannot read {}", file));
}

// The suite's schemas that do not name their draft have that of their folder.
std::string with_draft(std::string_view schema, std::string_view file) {
  const bool is_draft_7 = file.find("draft7/") != std::string_view::npos && schema.starts_with('{');
  if (!is_draft_7 || !raw_member(schema, "$schema").empty()) return std::string(schema);
  const std::string_view rest = schema.substr(1);
  const bool is_empty = raw_members(schema).empty();
  return R"({"$schema":"http://json-schema.org/draft-07/schema#")" + std::string(is_empty ? "" : ",") +
         std::string(rest);
}

SchemaCase read_case(std::string_view text, std::string file) {
  SchemaCase result{file, with_draft(raw_member(text, "schema"), file), {}};
  for (const std::string_view test : raw_items(raw_member(text, "tests")))
    result.instances.push_back({without_space(raw_member(test, "data")), raw_member(test, "valid") == "true"});
  return result;
}

}  // namespace

std::vector<SchemaCase> read_schema_cases(const fs::path& schemas) {
  const TemporaryDir unpacked;
  const bool is_archive = !fs::is_directory(schemas);
  if (is_archive) unpack(schemas, unpacked.path());
  const fs::path root = is_archive ? unpacked.path() : schemas;
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file() && entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  std::vector<SchemaCase> cases;
  for (const fs::path& file : files) {
    std::ifstream stream(file, std::ios::binary);
    std::stringstream buffer;
    buffer << stream.rdbuf();
    const std::string text = buffer.str();
    const std::string name = fs::relative(file, root).string();
    if (!raw_member(text, "schema").empty()) cases.push_back(read_case(text, name));
    for (const std::string_view item : raw_items(text)) {
      if (!raw_member(item, "schema").empty() && !raw_member(item, "tests").empty())
        cases.push_back(read_case(item, name));
    }
  }
  if (cases.empty()) throw std::runtime_error(fmt::format("no schema in {}", schemas.string()));
  return cases;
}

}  // namespace caudal
