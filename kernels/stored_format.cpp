#include "kernels/stored_format.h"

#include <algorithm>
#include <array>

#include "common/check.h"

namespace caudal {
namespace {

constexpr std::array kFormats = {
    FormatInfo{StoredFormat::kBF16, "BF16", 1, 2, DType::kBF16, {}},
    FormatInfo{StoredFormat::kF16, "F16", 1, 2, DType::kF16, {}},
    FormatInfo{StoredFormat::kF32, "F32", 1, 4, DType::kF32, {}},
    // Codes: bits, values of one scale, the code of zero, mins.
    FormatInfo{StoredFormat::kQ8_0, "Q8_0", 32, 34, std::nullopt, {8, 32, 128, false, decode_q8_0, encode_q8_0}},
    FormatInfo{StoredFormat::kQ4_0, "Q4_0", 32, 18, std::nullopt, {4, 32, 8, false, decode_q4_0, encode_q4_0}},
    FormatInfo{StoredFormat::kQ4_1, "Q4_1", 32, 20, std::nullopt, {4, 32, 0, true, decode_q4_1}},
    FormatInfo{StoredFormat::kQ5_0, "Q5_0", 32, 22, std::nullopt, {5, 32, 16, false, decode_q5_0}},
    FormatInfo{StoredFormat::kQ5_1, "Q5_1", 32, 24, std::nullopt, {5, 32, 0, true, decode_q5_1}},
    FormatInfo{StoredFormat::kQ4_K, "Q4_K", 256, 144, std::nullopt, {4, 32, 0, true, decode_q4_k}},
    FormatInfo{StoredFormat::kQ5_K, "Q5_K", 256, 176, std::nullopt, {5, 32, 0, true, decode_q5_k}},
    FormatInfo{StoredFormat::kQ6_K, "Q6_K", 256, 210, std::nullopt, {6, 16, 32, false, decode_q6_k}},
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
  formats.reserve(kFormats.size());
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
  return ((columns + info.block_values - 1) / info.block_values) * info.block_bytes;
}

}  // namespace caudal
