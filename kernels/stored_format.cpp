#include "kernels/stored_format.h"

#include <algorithm>
#include <array>

#include "kernels/half_float.h"

namespace caudal {
namespace {

template <DType kDType>
void widen_plain(const std::byte* blocks, std::size_t num_values, float* out) {
  widen(kDType, blocks, num_values, out);
}

constexpr std::array kFormats = {
    FormatInfo{StoredFormat::kBF16, "BF16", 1, 2, DType::kBF16, widen_plain<DType::kBF16>},
    FormatInfo{StoredFormat::kF16, "F16", 1, 2, DType::kF16, widen_plain<DType::kF16>},
    FormatInfo{StoredFormat::kF32, "F32", 1, 4, DType::kF32, widen_plain<DType::kF32>},
};

template <typename Matches>
const FormatInfo* find(const Matches& matches) {
  const auto* found = std::ranges::find_if(kFormats, matches);
  return found == kFormats.end() ? nullptr : found;
}

}  // namespace

const FormatInfo& info_of(StoredFormat format) {
  const FormatInfo* info = find([&](const FormatInfo& row) { return row.format == format; });
  CHECK(info != nullptr);
  return *info;
}

std::optional<StoredFormat> find_format(std::string_view name) {
  const FormatInfo* info = find([&](const FormatInfo& row) { return row.name == name; });
  return info == nullptr ? std::nullopt : std::optional(info->format);
}

std::vector<StoredFormat> all_formats() {
  std::vector<StoredFormat> formats;
  for (const FormatInfo& row : kFormats) formats.push_back(row.format);
  return formats;
}

StoredFormat plain_format(DType dtype) {
  const FormatInfo* info = find([&](const FormatInfo& row) { return row.dtype == dtype; });
  CHECK(info != nullptr);
  return info->format;
}

std::size_t stored_bytes(StoredFormat format, std::int64_t columns) {
  const FormatInfo& info = info_of(format);
  return static_cast<std::size_t>((columns + info.block_values - 1) / info.block_values) * info.block_bytes;
}

}  // namespace caudal
