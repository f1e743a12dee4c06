#include "common/model_files/json_file.h"

#include <fmt/format.h>

#include <cstdint>
#include <fstream>

#include "common/json/strict_json.h"

namespace caudal {
namespace {

constexpr std::uintmax_t kMaxFileBytes = std::uintmax_t{256} << 20;

}  // namespace

std::string read_text_file(const std::filesystem::path& model_dir, const char* name) {
  const std::filesystem::path path = model_dir / name;
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) throw JsonError{"cannot be read: " + error.message(), "", name};
  if (size > kMaxFileBytes) throw JsonError{fmt::format("is larger than {} bytes", kMaxFileBytes), "", name};
  std::string text(size, '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(size))) throw JsonError{"cannot be read", "", name};
  return text;
}

JsonFile parse_json_file(std::string_view text, const char* name) {
  Result<boost::json::value> document = parse_strict_json(text, kFileJson);
  if (!document) throw JsonError{"is " + document.error().message, document.error().field, name};
  return {name, std::move(document).value()};
}

JsonFile read_json_file(const std::filesystem::path& model_dir, const char* name) {
  return parse_json_file(read_text_file(model_dir, name), name);
}

}  // namespace caudal
