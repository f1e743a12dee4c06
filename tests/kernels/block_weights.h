// Random weights in GGUF's block formats.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <random>
#include <vector>

#include "kernels/half_float.h"
#include "kernels/linear.h"

namespace caudal {

inline const std::vector<StoredFormat> kBlockFormats = {StoredFormat::kQ8_0, StoredFormat::kQ4_0, StoredFormat::kQ4_1,
                                                        StoredFormat::kQ5_0, StoredFormat::kQ5_1, StoredFormat::kQ4_K,
                                                        StoredFormat::kQ5_K, StoredFormat::kQ6_K};

// Any bytes are a block; but its f16 scales must not be NaN, and values of about 1 make a better test.
class BlockWeight {
 public:
  // Every byte but the scales is `only`, where that is given.
  BlockWeight(StoredFormat format, std::int64_t rows, std::int64_t columns, unsigned seed,
              std::optional<std::byte> only = std::nullopt)
      : format_(format), rows_(rows), columns_(columns) {
    const FormatInfo& info = info_of(format);
    std::mt19937 random(seed);
    bytes_.resize(static_cast<std::size_t>(rows) * stored_bytes(format, columns));
    for (std::byte& byte : bytes_) byte = only.value_or(static_cast<std::byte>(random() & 0xFFU));
    const float deviation = 1.0F / static_cast<float>(1 << info.coding.bits) / (info.block_values > 32 ? 32.0F : 1.0F);
    std::normal_distribution<float> scale(0.0F, deviation);
    for (std::size_t block = 0; block < bytes_.size(); block += info.block_bytes) {
      const auto set = [&](std::size_t at) {
        const std::uint16_t half = float_to_f16(scale(random));
        std::memcpy(bytes_.data() + block + at, &half, sizeof half);
      };
      set(format == StoredFormat::kQ6_K ? 208 : 0);
      if (info.coding.has_mins) set(2);
    }
  }

  StoredPart part() const {
    return {.format = format_,
            .data = bytes_.data(),
            .row_bytes = stored_bytes(format_, columns_),
            .rows = rows_,
            .columns = columns_,
            .stored_rows = rows_,
            .stored_columns = columns_};
  }
  // [rows, columns]
  std::vector<float> values() const {
    std::vector<float> out(static_cast<std::size_t>(rows_ * columns_));
    const StoredPart whole = part();
    read_rows({&whole, 1}, 0, rows_, DType::kF32, reinterpret_cast<std::byte*>(out.data()));
    return out;
  }

 private:
  StoredFormat format_;
  std::int64_t rows_, columns_;
  std::vector<std::byte> bytes_;
};

}  // namespace caudal
