#include "worker/model/weights/safetensors.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstring>
#include <limits>

namespace caudal {
namespace {

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr std::size_t kMaxRank = 8;

struct StoredDType {
  std::string_view name;
  std::uint64_t bytes;
};
constexpr std::array kStoredDTypes = {StoredDType{"F64", 8},  StoredDType{"F32", 4},     StoredDType{"F16", 2},
                                      StoredDType{"BF16", 2}, StoredDType{"I64", 8},     StoredDType{"I32", 4},
                                      StoredDType{"I16", 2},  StoredDType{"I8", 1},      StoredDType{"U64", 8},
                                      StoredDType{"U32", 4},  StoredDType{"U16", 2},     StoredDType{"U8", 1},
                                      StoredDType{"BOOL", 1}, StoredDType{"F8_E4M3", 1}, StoredDType{"F8_E5M2", 1}};

std::uint64_t stored_bytes(std::string_view name) {
  const auto* found = std::find_if(kStoredDTypes.begin(), kStoredDTypes.end(),
                                   [&](const StoredDType& dtype) { return dtype.name == name; });
  return found == kStoredDTypes.end() ? 0 : found->bytes;
}

// A whole number from 0 to 2^63 - 1, else -1.
std::int64_t natural(const boost::json::value& value) {
  const std::int64_t* number = value.if_int64();
  return number != nullptr && *number >= 0 ? *number : -1;
}

// Shape and dtype; an Error text when they are not sound. `bytes` is what they need.
const char* parse_shape(const boost::json::object& entry, StoredTensor& tensor, std::uint64_t& bytes) {
  const boost::json::value* dtype = entry.if_contains("dtype");
  if (dtype == nullptr || !dtype->is_string()) return "has no dtype";
  tensor.format = std::string(dtype->get_string());
  bytes = stored_bytes(tensor.format);
  if (bytes == 0) return "has an unknown dtype";
  const boost::json::value* shape = entry.if_contains("shape");
  if (shape == nullptr || !shape->is_array() || shape->get_array().size() > kMaxRank) return "has no proper shape";
  for (const boost::json::value& dim : shape->get_array()) {
    const std::int64_t n = natural(dim);
    if (n < 0) return "has no proper shape";
    if (n > 0 && bytes > std::numeric_limits<std::uint64_t>::max() / static_cast<std::uint64_t>(n))
      return "has a shape past all memory";
    bytes *= static_cast<std::uint64_t>(n);
    tensor.shape.push_back(n);
  }
  return nullptr;
}

const char* parse_entry(const boost::json::value& value, std::span<const std::byte> data, StoredTensor& tensor) {
  if (!value.is_object()) return "is not an object";
  std::uint64_t bytes = 0;
  if (const char* wrong = parse_shape(value.get_object(), tensor, bytes)) return wrong;
  const boost::json::value* offsets = value.get_object().if_contains("data_offsets");
  if (offsets == nullptr || !offsets->is_array() || offsets->get_array().size() != 2) return "has no data_offsets";
  const std::int64_t begin = natural(offsets->get_array()[0]);
  const std::int64_t end = natural(offsets->get_array()[1]);
  if (begin < 0 || end < begin) return "has wrong data_offsets";
  if (static_cast<std::uint64_t>(end) > data.size()) return "ends past the end of the file";
  if (static_cast<std::uint64_t>(end - begin) != bytes) return "has data_offsets that do not fit its shape";
  tensor.data = data.subspan(begin, end - begin);
  return nullptr;
}

// Tensors must cover the data without overlap and without a hole; returns the first that does not fit.
const std::string* find_misplaced(const StoredTensors& tensors, std::span<const std::byte> data, bool& hole_at_end) {
  std::vector<const StoredTensors::value_type*> by_place;
  for (const auto& entry : tensors) by_place.push_back(&entry);
  std::sort(by_place.begin(), by_place.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.data.data(), a->second.data.size()) <
           std::pair(b->second.data.data(), b->second.data.size());
  });
  const std::byte* expected = data.data();
  for (const auto* entry : by_place) {
    if (entry->second.data.data() != expected) return &entry->first;
    expected += entry->second.data.size();
  }
  hole_at_end = expected != data.data() + data.size();
  return nullptr;
}

std::uint64_t little_endian_u64(const std::byte* bytes) {
  std::uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  return value;
}

}  // namespace

Result<StoredTensors> parse_safetensors(std::span<const std::byte> image, const std::string& file_name) {
  const auto refuse = [&](const std::string& what) { return Error{fmt::format("{}: {}", file_name, what), file_name}; };
  if (image.size() < 8) return refuse("is too short to be a safetensors file");
  const std::uint64_t header_bytes = little_endian_u64(image.data());
  if (header_bytes > image.size() - 8)
    return refuse(fmt::format("its header, of {} bytes, ends past the end of the file", header_bytes));
  if (header_bytes > kMaxHeaderBytes) return refuse("its header is longer than 100 MB");
  const std::string_view text(reinterpret_cast<const char*>(image.data()) + 8, header_bytes);
  const std::span<const std::byte> data = image.subspan(8 + header_bytes);

  boost::system::error_code code;
  const boost::json::value header = boost::json::parse(text, code);
  if (code || !header.is_object()) return refuse("its header is not a JSON object");
  StoredTensors tensors;
  for (const auto& [key, value] : header.get_object()) {
    if (key == "__metadata__") continue;
    StoredTensor tensor;
    if (const char* wrong = parse_entry(value, data, tensor))
      return refuse(fmt::format("tensor \"{}\" {}", std::string_view(key), wrong));
    tensors.emplace(std::string(key), std::move(tensor));
  }
  bool hole_at_end = false;
  if (const std::string* name = find_misplaced(tensors, data, hole_at_end))
    return refuse(fmt::format("tensor \"{}\" overlaps another or leaves a hole before it", *name));
  if (hole_at_end) return refuse("has bytes that belong to no tensor");
  return tensors;
}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file) return file.error();
  Result<StoredTensors> tensors = parse_safetensors(file.value().bytes(), path.filename().string());
  if (!tensors) return tensors.error();
  return SafetensorsFile(std::move(file).value(), std::move(tensors).value());
}

}  // namespace caudal
