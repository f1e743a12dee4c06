#include "common/gguf/gguf_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/string.hpp>
#include <cstring>
#include <limits>
#include <type_traits>

#include "common/text/unicode.h"

namespace caudal {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are read as they are stored");

constexpr std::uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr std::uint32_t kOldestVersion = 2, kNewestVersion = 3;
constexpr std::int64_t kDefaultAlignment = 32, kMaxAlignment = 1 << 20;
constexpr std::size_t kMaxNameBytes = 65535;  // the format's own limit for keys
constexpr std::uint32_t kMaxRank = 4;

enum class ValueType : std::uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kText, kList, kU64, kI64, kF64 };

// By number; "" where a number was given up.
constexpr std::array<std::string_view, 31> kTensorTypes = {
    "F32",   "F16",    "Q4_0", "Q4_1", "",     "",        "Q5_0",   "Q5_1",    "Q8_0",  "Q8_1",   "Q2_K",
    "Q3_K",  "Q4_K",   "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
    "IQ2_S", "IQ4_XS", "I8",   "I16",  "I32",  "I64",     "F64",    "IQ1_M",   "BF16"};

std::string type_name(std::uint32_t type) {
  const bool known = type < kTensorTypes.size() && !kTensorTypes[type].empty();
  return known ? std::string(kTensorTypes[type]) : fmt::format("type {}", type);
}

// Takes one thing after the other from the image and throws JsonError when there is not enough.
class Cursor {
 public:
  Cursor(std::span<const std::byte> image, const std::string& file) : image_(image), file_(file) {}

  std::size_t position() const { return position_; }

  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::string_view text() {
    const auto length = number<std::uint64_t>();
    if (length > image_.size() - position_)
      fail(fmt::format("holds a text of {} bytes that ends past the end of the file", length));
    const std::span<const std::byte> bytes = take(length);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  // A key or the name of a tensor.
  std::string name() {
    const std::string_view name = text();
    if (name.empty() || name.size() > kMaxNameBytes || !is_valid_utf8(name)) fail("holds an improper name");
    return std::string(name);
  }

  // From here on errors are about this.
  void set_subject(std::string subject) { subject_ = std::move(subject); }

  [[noreturn]] void fail(const std::string& what) const {
    throw JsonError{subject_ + (subject_.empty() ? "" : " ") + what, "", file_};
  }

 private:
  std::span<const std::byte> take(std::uint64_t bytes) {
    if (bytes > image_.size() - position_) fail("is cut off by the end of the file");
    const std::span<const std::byte> taken = image_.subspan(position_, bytes);
    position_ += bytes;
    return taken;
  }

  std::span<const std::byte> image_;
  const std::string& file_;
  std::string subject_ = "its header";
  std::size_t position_ = 0;
};

template <typename T>
boost::json::value to_json(T number) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<double>(number);
  } else if (number > T{0} && static_cast<std::uint64_t>(number) > std::numeric_limits<std::int64_t>::max()) {
    return static_cast<std::uint64_t>(number);
  } else {
    return static_cast<std::int64_t>(number);
  }
}

boost::json::value read_scalar(Cursor& in, ValueType type) {
  switch (type) {
    case ValueType::kU8:
      return to_json(in.number<std::uint8_t>());
    case ValueType::kI8:
      return to_json(in.number<std::int8_t>());
    case ValueType::kU16:
      return to_json(in.number<std::uint16_t>());
    case ValueType::kI16:
      return to_json(in.number<std::int16_t>());
    case ValueType::kU32:
      return to_json(in.number<std::uint32_t>());
    case ValueType::kI32:
      return to_json(in.number<std::int32_t>());
    case ValueType::kF32:
      return to_json(in.number<float>());
    case ValueType::kU64:
      return to_json(in.number<std::uint64_t>());
    case ValueType::kI64:
      return to_json(in.number<std::int64_t>());
    case ValueType::kF64:
      return to_json(in.number<double>());
    case ValueType::kBool:
      return in.number<std::uint8_t>() != 0;
    case ValueType::kText:
    case ValueType::kList:
      break;
  }
  in.fail(fmt::format("has a value of the unknown type {}", static_cast<std::uint32_t>(type)));
}

std::string_view read_text(Cursor& in) {
  const std::string_view text = in.text();
  if (!is_valid_utf8(text)) in.fail("holds a text that is not UTF-8");
  return text;
}

// Counts are not believed: memory grows as values are found.
void read_list(Cursor& in, const std::string& key, GgufHeader& header) {
  const auto type = static_cast<ValueType>(in.number<std::uint32_t>());
  const auto count = in.number<std::uint64_t>();
  if (type == ValueType::kText) {
    std::vector<std::string_view>& texts = header.texts[key];
    for (std::uint64_t i = 0; i < count; ++i) texts.push_back(read_text(in));
  } else {
    boost::json::array& numbers = header.metadata.as_object()[key].emplace_array();
    for (std::uint64_t i = 0; i < count; ++i) numbers.push_back(read_scalar(in, type));
  }
}

void read_entry(Cursor& in, GgufHeader& header) {
  in.set_subject("its metadata");
  const std::string key = in.name();
  in.set_subject(fmt::format("\"{}\"", key));
  boost::json::object& metadata = header.metadata.as_object();
  if (metadata.contains(key) || header.texts.contains(key)) in.fail("is there twice");
  const auto type = static_cast<ValueType>(in.number<std::uint32_t>());
  if (type == ValueType::kList) return read_list(in, key, header);
  metadata[key] = type == ValueType::kText ? boost::json::value(read_text(in)) : read_scalar(in, type);
}

void read_shape(Cursor& in, GgufTensor& tensor) {
  const auto rank = in.number<std::uint32_t>();
  if (rank < 1 || rank > kMaxRank) in.fail(fmt::format("has {} dimensions; may have 1 to {}", rank, kMaxRank));
  std::int64_t values = 1;
  for (std::uint32_t i = 0; i < rank; ++i) {
    const auto size = in.number<std::uint64_t>();
    constexpr std::int64_t kMaxValues = std::int64_t{1} << 48;  // past all memory, and their bytes still fit
    if (size == 0) in.fail("has an empty dimension");
    if (size > static_cast<std::uint64_t>(kMaxValues / values)) in.fail("has a shape past all memory");
    values *= static_cast<std::int64_t>(size);
    tensor.shape.push_back(static_cast<std::int64_t>(size));
  }
  std::ranges::reverse(tensor.shape);
}

void read_tensor(Cursor& in, std::uint64_t alignment, GgufHeader& header) {
  in.set_subject("its list of tensors");
  const std::string name = in.name();
  in.set_subject(fmt::format("tensor \"{}\"", name));
  GgufTensor tensor;
  read_shape(in, tensor);
  tensor.type = type_name(in.number<std::uint32_t>());
  tensor.offset = in.number<std::uint64_t>();
  if (tensor.offset % alignment != 0) in.fail(fmt::format("begins at no multiple of {} bytes", alignment));
  if (!header.tensors.emplace(name, std::move(tensor)).second) in.fail("is there twice");
}

void check_version(Cursor& in) {
  if (in.number<std::uint32_t>() != kMagic) in.fail("does not begin with GGUF");
  const auto version = in.number<std::uint32_t>();
  if (version != 0 && version << 16 == 0) in.fail("is for big-endian machines");
  if (version < kOldestVersion || version > kNewestVersion)
    in.fail(fmt::format("has version {}; known are {} and {}", version, kOldestVersion, kNewestVersion));
}

std::uint64_t read_alignment(const JsonNode& metadata) {
  const std::optional<JsonNode> stated = metadata.find("general.alignment");
  const std::int64_t alignment = stated ? stated->integer(1, kMaxAlignment) : kDefaultAlignment;
  if (!std::has_single_bit(static_cast<std::uint64_t>(alignment))) stated->fail("must be a power of two");
  return static_cast<std::uint64_t>(alignment);
}

GgufHeader read_header(std::span<const std::byte> image, const std::string& file) {
  Cursor in(image, file);
  check_version(in);
  const auto num_tensors = in.number<std::uint64_t>();
  const auto num_entries = in.number<std::uint64_t>();
  GgufHeader header;
  header.metadata.emplace_object();
  for (std::uint64_t i = 0; i < num_entries; ++i) read_entry(in, header);
  const std::uint64_t alignment = read_alignment(JsonNode(header.metadata, file.c_str()));
  for (std::uint64_t i = 0; i < num_tensors; ++i) read_tensor(in, alignment, header);
  header.bytes = image.first(in.position());
  header.data = image.subspan(std::min<std::size_t>((in.position() + alignment - 1) / alignment * alignment,  //
                                                    image.size()));
  for (const auto& [name, tensor] : header.tensors) {
    in.set_subject(fmt::format("tensor \"{}\"", name));
    if (tensor.offset > header.data.size()) in.fail("begins past the end of the file");
  }
  return header;
}

}  // namespace

Result<GgufHeader> parse_gguf(std::span<const std::byte> image, const std::string& file_name) {
  try {
    return read_header(image, file_name);
  } catch (const JsonError& error) {
    return Error{error.in_file().message, file_name};
  }
}

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file) return file.error();
  Result<GgufHeader> header = parse_gguf(file.value().bytes(), path.filename().string());
  if (!header) return header.error();
  return GgufFile(path, std::move(file).value(), std::move(header).value());
}

}  // namespace caudal
