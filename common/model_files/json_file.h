// One file of a model directory. Files are from outside: their sizes and depths are bounded. Everything here throws
// JsonError with the name of the file, which is a literal.
#pragma once

#include <boost/json/value.hpp>
#include <filesystem>
#include <string>
#include <string_view>

#include "common/json/json_node.h"

namespace caudal {

struct JsonFile {
  std::string name;
  boost::json::value document;

  // As long as this stays where it is.
  JsonNode root() const { return JsonNode(document, name.c_str()); }
};

// The whole file. Fails when it cannot be read or is absurdly large.
std::string read_text_file(const std::filesystem::path& model_dir, const char* name);
// The text of the file called `name`, as JSON (see kFileJson).
JsonFile parse_json_file(std::string_view text, const char* name);
JsonFile read_json_file(const std::filesystem::path& model_dir, const char* name);

}  // namespace caudal
