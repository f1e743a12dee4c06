#include "worker/model/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

#include "common/model_digest.h"
#include "worker/model/config_fields.h"

namespace caudal {
namespace {

std::string architectures_of(std::span<const Family> families) {
  std::vector<std::string_view> names;
  for (const Family& family : families) names.push_back(family.architecture);
  return fmt::format("{}", fmt::join(names, ", "));
}

const Family* find_family(ConfigFields& fields, std::span<const Family> families) {
  const boost::json::array* names = fields.array_or_null("architectures");
  if (names == nullptr || names->size() != 1 || !names->front().is_string()) {
    fields.fail("architectures", fmt::format("must name one of {}", architectures_of(families)));
    return nullptr;
  }
  const std::string_view name = names->front().get_string();
  const auto family = std::ranges::find(families, name, &Family::architecture);
  if (family != families.end()) return &*family;
  fields.fail("architectures", fmt::format("is not known; known are {}", architectures_of(families)));
  return nullptr;
}

}  // namespace

Result<ModelSpec> read_model_spec(std::string_view text, std::span<const Family> families) {
  boost::system::error_code code;
  const boost::json::value root = boost::json::parse(text, code);
  if (code) return Error{"config.json: is not valid JSON: " + code.message(), "config.json"};
  if (!root.is_object()) return Error{"config.json: is not a JSON object", "config.json"};

  std::optional<Error> error;
  ConfigFields fields(root.get_object(), error);
  ModelSpec spec;
  spec.family = find_family(fields, families);
  if (spec.family != nullptr) spec.config = spec.family->read_config(fields);
  if (error) return *error;
  spec.config.architecture = spec.family->architecture;
  spec.config.digest = model_digest(text);
  return spec;
}

Result<ModelSpec> load_model_spec(const std::filesystem::path& model_dir, std::span<const Family> families) {
  std::ifstream file(model_dir / "config.json", std::ios::binary);
  if (!file) return Error{"config.json: cannot be read", "config.json"};
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return read_model_spec(text, families);
}

}  // namespace caudal
