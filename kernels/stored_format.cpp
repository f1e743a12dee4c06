#include "kernels/stored_format.h"

#include <algorithm>

#include "common/check.h"

namespace caudal {
namespace {

template <typename Matches>
const FormatInfo* find(const Matches& matches) {
  const auto* found = std::ranges::find_if(kStoredFormats, matches);
  return found == kStoredFormats.end() ? nullptr : found;
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
  formats.reserve(kStoredFormats.size());
  for (const FormatInfo& row : kStoredFormats) formats.push_back(row.format);
  return formats;
}

StoredFormat plain_format(DType dtype) {
  const FormatInfo* info = find([&](const FormatInfo& row) { return row.dtype == dtype; });
  CHECK(info != nullptr);
  return info->format;
}

std::size_t stored_bytes(StoredFormat format, std::int64_t columns) {
  const FormatInfo& info = info_of(format);
  return ((columns + info.block_values - 1) / info.block_values) * info.block_bytes;
}

}  // namespace caudal
