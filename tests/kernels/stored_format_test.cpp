// Stored formats and what is read of them: parts below each other, zeros past what is stored, every conversion.
#include "kernels/stored_format.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "kernels/linear.h"

namespace caudal {
namespace {

TEST(StoredFormat, IsFoundByTheNameOfCheckpoints) {
  for (const StoredFormat format : all_formats()) EXPECT_EQ(find_format(info_of(format).name), format);
  EXPECT_FALSE(find_format("I32").has_value());
  EXPECT_EQ(plain_format(DType::kF16), StoredFormat::kF16);
  EXPECT_EQ(stored_bytes(StoredFormat::kBF16, 7), 14U);
}

TEST(StoredFormat, OfAMatrixIsThatOfItsParts) {
  constexpr auto kB = StoredFormat::kBF16, kF = StoredFormat::kF32;
  EXPECT_EQ(packed_format(std::array{kB, kB}, DType::kF32), kB);
  EXPECT_EQ(packed_format(std::array{kB, kF}, DType::kF32), kF);
  EXPECT_EQ(packed_format(std::array{kF, kB}, DType::kBF16), kB);
}

// 1, 2 and 3 as bf16, f16 and f32.
TEST(StoredParts, AreReadAsOneMatrixOfOneDType) {
  const std::array<std::uint16_t, 4> bf16 = {0x3F80, 0x4000, 0x4040, 0x7FC1};  // the last is beyond the row
  const std::array<std::uint16_t, 3> f16 = {0x3C00, 0x4000, 0x4200};
  const std::array<float, 3> f32 = {1.0F, 2.0F, 3.0F};
  std::vector<StoredPart> parts;
  const auto add = [&](StoredFormat format, const void* data, std::int64_t rows, std::int64_t columns) {
    parts.push_back({.format = format,
                     .data = static_cast<const std::byte*>(data),
                     .row_bytes = stored_bytes(format, columns),
                     .rows = rows,
                     .columns = 3,
                     .stored_rows = 1,
                     .stored_columns = columns});
  };
  add(StoredFormat::kBF16, bf16.data(), 2, 2);  // a column and a row of padding
  add(StoredFormat::kF16, f16.data(), 1, 3);
  add(StoredFormat::kF32, f32.data(), 1, 3);
  EXPECT_EQ(total_rows(parts), 4);
  std::array<float, 12> all{};
  read_rows(parts, 0, 4, DType::kF32, reinterpret_cast<std::byte*>(all.data()));
  EXPECT_EQ(all, (std::array<float, 12>{1, 2, 0, 0, 0, 0, 1, 2, 3, 1, 2, 3}));
  std::array<std::uint16_t, 6> middle{};
  read_rows(parts, 1, 2, DType::kBF16, reinterpret_cast<std::byte*>(middle.data()));
  EXPECT_EQ(middle, (std::array<std::uint16_t, 6>{0, 0, 0, 0x3F80, 0x4000, 0x4040}));
}

}  // namespace
}  // namespace caudal
