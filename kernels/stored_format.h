// StoredFormat: how a checkpoint stores the values of a tensor. The table below is the one place that describes each:
// backends and their kernels take the width of codes, the scales and the decoder from it. It is apart from the dtype of
// activations: a backend converts, or computes on the stored blocks.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "kernels/block_codes.h"
#include "kernels/tensor.h"

namespace caudal {

enum class StoredFormat : std::uint8_t { kBF16, kF16, kF32, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4_K, kQ5_K, kQ6_K };

struct FormatInfo {
  StoredFormat format;
  std::string_view name;      // as checkpoints have it: "BF16", "Q8_0"
  std::int64_t block_values;  // a row is stored in blocks of so many values
  std::size_t block_bytes;
  std::optional<DType> dtype;  // where a value is stored as one of that type
  BlockCoding coding;          // elsewhere
};

inline constexpr std::array kStoredFormats = {
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

const FormatInfo& info_of(StoredFormat format);

// Nothing when no weight may be stored so.
std::optional<StoredFormat> find_format(std::string_view name);
std::vector<StoredFormat> all_formats();
StoredFormat plain_format(DType dtype);  // f32, bf16 or f16

// A row of `columns` values takes so many bytes; a row begins with a block.
std::size_t stored_bytes(StoredFormat format, std::int64_t columns);

}  // namespace caudal
