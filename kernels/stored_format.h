// StoredFormat: how a checkpoint stores the values of a tensor. The table in stored_format.cpp has a row for each. It
// is apart from the dtype of activations: a backend converts, or computes on the stored blocks.
#pragma once

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

const FormatInfo& info_of(StoredFormat format);

// Nothing when no weight may be stored so.
std::optional<StoredFormat> find_format(std::string_view name);
std::vector<StoredFormat> all_formats();
StoredFormat plain_format(DType dtype);  // f32, bf16 or f16

// A row of `columns` values takes so many bytes; a row begins with a block.
std::size_t stored_bytes(StoredFormat format, std::int64_t columns);

}  // namespace caudal
