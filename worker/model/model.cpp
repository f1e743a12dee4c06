#include "worker/model/model.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <vector>

#include "common/model_files/model_files.h"

namespace caudal {
namespace {

std::string architectures_of(std::span<const Family> families) {
  std::vector<std::string_view> names;
  for (const Family& family : families) names.push_back(family.architecture);
  return fmt::format("{}", fmt::join(names, ", "));
}

const Family& find_family(const JsonNode& root, std::span<const Family> families) {
  const std::optional<JsonNode> names = root.find("architectures");
  if (!names || names->size() != 1 || !names->array()[0].is_string()) {
    root.fail_at("architectures", fmt::format("must name one of {}", architectures_of(families)));
  }
  const std::string_view name = names->array()[0].get_string();
  const auto family = std::ranges::find(families, name, &Family::architecture);
  if (family == families.end()) {
    names->fail(fmt::format("is not known; known are {}", architectures_of(families)));
  }
  return *family;
}

}  // namespace

Result<ModelSpec> read_model_spec(const ModelCard& card, std::span<const Family> families) {
  try {
    const Family& family = find_family(card.config(), families);
    ModelSpec spec{&family, family.read_config(card)};
    spec.config.architecture = family.architecture;
    return spec;
  } catch (const JsonError& error) {
    return error.in_file();
  }
}

Result<ModelSpec> load_model_spec(const std::filesystem::path& path, std::span<const Family> families) {
  const Result<std::unique_ptr<ModelFiles>> files = open_model_files(path);
  if (!files) return files.error();
  Result<ModelDocuments> documents = files.value()->documents();
  if (!documents) return documents.error();
  try {  // first, because another architecture may name its other fields otherwise
    find_family(documents.value().config.root(), families);
  } catch (const JsonError& error) {
    return error.in_file();
  }
  const Result<ModelCard> card = read_model_card(std::move(documents).value());
  if (!card) return card.error();
  return read_model_spec(card.value(), families);
}

}  // namespace caudal
