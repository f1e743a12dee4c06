// 16-bit floats: exact where they can be, to nearest even where not.
#include "kernels/half_float.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace caudal {
namespace {

TEST(HalfFloat, EveryF16SurvivesTheWayThroughF32) {
  for (std::uint32_t bits = 0; bits <= 0xFFFFU; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = f16_to_float(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(value))));
    } else {
      ASSERT_EQ(float_to_f16(value), half) << bits;
    }
  }
  EXPECT_EQ(f16_to_float(0x0001), 0x1p-24F);
  EXPECT_EQ(f16_to_float(0x7BFF), 65504.0F);
  EXPECT_EQ(f16_to_float(0xFC00), -std::numeric_limits<float>::infinity());
}

TEST(HalfFloat, F16RoundsToNearestEven) {
  EXPECT_EQ(float_to_f16(1.0F + 0x1p-11F), 0x3C00);         // half way, down to even
  EXPECT_EQ(float_to_f16(1.0F + 3.0F * 0x1p-11F), 0x3C02);  // half way, up to even
  EXPECT_EQ(float_to_f16(std::nextafter(1.0F + 0x1p-11F, 2.0F)), 0x3C01);
  EXPECT_EQ(float_to_f16(65519.0F), 0x7BFF);
  EXPECT_EQ(float_to_f16(65520.0F), 0x7C00);
  EXPECT_EQ(float_to_f16(0x1p-25F), 0x0000);
  EXPECT_EQ(float_to_f16(-0x1p-14F * 0.75F), 0x8300);
}

TEST(HalfFloat, BF16RoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(float_to_bf16(1.0F), 0x3F80);
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3F808000U)), 0x3F80);
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3F818000U)), 0x3F82);
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x3F808001U)), 0x3F81);
  EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::bit_cast<float>(0x7F800001U)))));
}

TEST(HalfFloat, ConvertsLongUnalignedRows) {
  const std::size_t n = 2500;
  std::vector<std::byte> bf16(n * 2 + 1), f32(n * 4 + 1);
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<float>(i % 256) * 0.5F;
  narrow(DType::kBF16, values.data(), n, bf16.data() + 1);
  convert(DType::kBF16, bf16.data() + 1, n, DType::kF32, f32.data() + 1);
  std::vector<float> back(n);
  widen(DType::kF32, f32.data() + 1, n, back.data());
  EXPECT_EQ(back, values);
}

}  // namespace
}  // namespace caudal
