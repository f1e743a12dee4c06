// Which files belong to a model. See gguf_file.h.
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "common/gguf/gguf_file.h"

namespace caudal {
namespace {

constexpr std::string_view kExtension = ".gguf";

// "NAME-00001-of-00003.gguf"
struct SplitName {
  std::string stem;
  int number = 1;
  int count = 1;

  std::string file(int n) const { return fmt::format("{}-{:05}-of-{:05}{}", stem, n, count, kExtension); }
};

std::optional<int> five_digits(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return text.size() == 5 && error == std::errc() && end == text.data() + text.size() ? std::optional(number)
                                                                                      : std::nullopt;
}

// Nothing when the file is whole.
std::optional<SplitName> split_name(std::string_view file) {
  file.remove_suffix(kExtension.size());
  constexpr std::size_t kTail = std::string_view("-00001-of-00003").size();
  if (file.size() <= kTail) return std::nullopt;
  const std::string_view tail = file.substr(file.size() - kTail);
  const std::optional<int> number = five_digits(tail.substr(1, 5)), count = five_digits(tail.substr(10));
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || !number || !count) return std::nullopt;
  if (*number < 1 || *number > *count) return std::nullopt;
  return SplitName{std::string(file.substr(0, file.size() - kTail)), *number, *count};
}

bool has_extension(const std::filesystem::path& path) {
  return path.filename().string().size() > kExtension.size() && path.extension() == kExtension;
}

// Of a directory, by name; of a set the first stands for all that are there.
std::set<std::string> models_in(const std::filesystem::path& dir) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    if (!has_extension(entry.path())) continue;
    const std::string name = entry.path().filename();
    const std::optional<SplitName> split = split_name(name);
    names.insert(split ? split->file(1) : name);
  }
  return names;
}

Result<std::filesystem::path> find_model(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return path;
  const std::set<std::string> names = models_in(path);
  if (names.size() == 1) return path / *names.begin();
  return Error{fmt::format("the model directory has several models; name one of {}", fmt::join(names, ", ")), "model"};
}

// What a file says of the set it belongs to must be what its name says.
void check_place(const GgufFile& file, int number, int count) {
  const JsonNode metadata = file.metadata();
  constexpr std::int64_t kMaxFiles = 99'999;
  if (metadata.at("split.count").integer(1, kMaxFiles) != count)
    metadata.fail_at("split.count", fmt::format("must be {}, as the name of the file says", count));
  if (metadata.at("split.no").integer(0, kMaxFiles) != number - 1)
    metadata.fail_at("split.no", fmt::format("must be {}, as the name of the file says", number - 1));
}

void add_tensors(const GgufFile& file, std::set<std::string_view>& names) {
  for (const auto& [name, tensor] : file.header().tensors)
    if (!names.insert(name).second)
      throw JsonError{fmt::format("tensor \"{}\" is in another file too", name), "", file.name()};
}

Result<GgufFiles> open_set(const std::filesystem::path& path) {
  const std::optional<SplitName> split = split_name(path.filename().string());
  const int count = split ? split->count : 1;
  GgufFiles files;
  std::set<std::string_view> names;  // maps keep their nodes when files move
  for (int number = 1; number <= count; ++number) {
    Result<GgufFile> file = GgufFile::open(split ? path.parent_path() / split->file(number) : path);
    if (!file) return file.error();
    files.push_back(std::move(file).value());
    try {
      const bool stated = files.back().metadata().has("split.count");
      if (split || stated) check_place(files.back(), number, count);
      add_tensors(files.back(), names);
    } catch (const JsonError& error) {
      return Error{error.in_file().message, files.back().name()};
    }
  }
  return files;
}

}  // namespace

Result<GgufFiles> open_gguf(const std::filesystem::path& path) {
  const Result<std::filesystem::path> model = find_model(path);
  if (!model) return model.error();
  return open_set(model.value());
}

bool is_gguf(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return has_extension(path);
  return !std::filesystem::exists(path / "config.json", error) && !models_in(path).empty();
}

std::string gguf_stem(const std::string& file_name) {
  if (!has_extension(file_name)) return file_name;
  const std::optional<SplitName> split = split_name(file_name);
  return split ? split->stem : file_name.substr(0, file_name.size() - kExtension.size());
}

}  // namespace caudal
