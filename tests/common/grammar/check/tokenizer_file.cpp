// See tokenizer_file.h.
#include "tests/common/grammar/check/tokenizer_file.h"

#include <boost/json.hpp>
#include <fstream>
#include <sstream>

#include "common/json/strict_json.h"
#include "common/tokenizer/hf_json.h"

namespace caudal {

Result<std::unique_ptr<Tokenizer>> read_tokenizer_file(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  const auto document = parse_strict_json(text.str(), kFileJson);
  if (!document) return document.error();
  try {
    return read_hf_tokenizer(JsonNode(document.value()), std::nullopt);
  } catch (const JsonError& error) {
    return Error{error.message, error.path};
  }
}

}  // namespace caudal
