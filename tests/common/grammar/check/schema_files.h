// Schemas with instances, in two layouts: {"schema": ..., "tests": [{"valid": ..., "data": ...}]} in a file of its own,
// or a list of those in the file of a keyword, as the suite of json-schema.org has them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace caudal {

struct SchemaInstance {
  std::string text;
  bool is_valid = false;
};

struct SchemaCase {
  std::string file;  // relative to where the schemas are
  std::string schema;
  std::vector<SchemaInstance> instances;
};

// Of a directory, or of an archive that `tar` reads. Sorted by file. Throws std::runtime_error.
std::vector<SchemaCase> read_schema_cases(const std::filesystem::path& schemas);

}  // namespace caudal
