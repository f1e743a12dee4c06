#include "worker/model/weights/safetensors_checkpoint.h"

#include <fmt/core.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <fstream>
#include <iterator>
#include <set>

namespace caudal {
namespace {

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

Error refuse_index(const std::string& what) {
  return Error{fmt::format("{}: {}", kIndexFile, what), std::string(kIndexFile)};
}

// A name in the model's own directory, and nothing else.
bool is_plain_file_name(std::string_view name) {
  return name.ends_with(".safetensors") && name.find('/') == std::string_view::npos &&
         name.find('\\') == std::string_view::npos && name.find('\0') == std::string_view::npos && name[0] != '.';
}

// Tensor name -> file name.
Result<std::map<std::string, std::string>> read_index(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return refuse_index("cannot be read");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  boost::system::error_code code;
  const boost::json::value root = boost::json::parse(text, code);
  if (code || !root.is_object()) return refuse_index("is not a JSON object");
  const boost::json::value* weight_map = root.get_object().if_contains("weight_map");
  if (weight_map == nullptr || !weight_map->is_object()) return refuse_index("\"weight_map\" is missing");
  std::map<std::string, std::string> places;
  for (const auto& [name, value] : weight_map->get_object()) {
    if (!value.is_string() || !is_plain_file_name(value.get_string()))
      return refuse_index(
          fmt::format("tensor \"{}\" must name a .safetensors file beside the index", std::string_view(name)));
    places.emplace(std::string(name), std::string(value.get_string()));
  }
  return places;
}

}  // namespace

Result<std::unique_ptr<SafetensorsCheckpoint>> SafetensorsCheckpoint::open(const std::filesystem::path& model_dir) {
  auto checkpoint = std::make_unique<SafetensorsCheckpoint>();
  std::error_code ignored;
  if (std::filesystem::exists(model_dir / kSingleFile, ignored)) {
    if (Result<void> added = checkpoint->add(model_dir / kSingleFile); !added) return added.error();
    return checkpoint;
  }
  if (!std::filesystem::exists(model_dir / kIndexFile, ignored)) {
    return Error{fmt::format("neither {} nor {} is in the model directory", kSingleFile, kIndexFile),
                 std::string(kSingleFile)};
  }
  Result<std::map<std::string, std::string>> places = read_index(model_dir / kIndexFile);
  if (!places) return places.error();
  std::set<std::string> file_names;
  for (const auto& [tensor, file] : places.value()) file_names.insert(file);
  for (const std::string& file : file_names) {
    if (!std::filesystem::exists(model_dir / file, ignored))
      return refuse_index(fmt::format("names {}, which is not in the model directory", file));
    if (Result<void> added = checkpoint->add(model_dir / file); !added) return added.error();
  }
  for (const auto& [tensor, file] : places.value())
    if (!checkpoint->infos_.contains(tensor))
      return refuse_index(fmt::format("tensor \"{}\" is not in {}", tensor, file));
  return checkpoint;
}

Result<void> SafetensorsCheckpoint::add(const std::filesystem::path& path) {
  Result<SafetensorsFile> file = SafetensorsFile::open(path);
  if (!file) return file.error();
  for (const auto& [name, tensor] : file.value().tensors()) {
    infos_.emplace(name, TensorInfo{tensor.format, tensor.shape});
    if (!tensors_.emplace(name, &tensor).second) {
      const std::string file_name = path.filename().string();
      return Error{fmt::format("{}: tensor \"{}\" is in another file too", file_name, name), file_name};
    }
  }
  files_.push_back(std::move(file).value());  // moving a map leaves its nodes where they are
  return {};
}

StoredPart SafetensorsCheckpoint::read(const WeightPart& part) const {
  const StoredTensor& tensor = *tensors_.find(part.name)->second;
  const StoredFormat format = *find_format(tensor.format);
  return mapped_part(part, format, tensor.data.data());
}

void SafetensorsCheckpoint::drop(const WeightPart& part) const { drop_pages(tensors_.find(part.name)->second->data); }

}  // namespace caudal
