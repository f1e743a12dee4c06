// Stored formats and what is read of them: parts below each other, zeros past what is stored, every conversion; GGUF's
// blocks against the values that the package "gguf" gives them (tests/reference/blocks.json), and rounding against the
// blocks that ggml writes (tests/reference/rounded_blocks.json).
#include "kernels/stored_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "kernels/linear.h"
#include "tests/kernels/block_weights.h"

namespace caudal {
namespace {

TEST(StoredFormat, IsFoundByTheNameOfCheckpoints) {
  for (const StoredFormat format : all_formats()) EXPECT_EQ(find_format(info_of(format).name), format);
  EXPECT_FALSE(find_format("I32").has_value());
  EXPECT_EQ(plain_format(DType::kF16), StoredFormat::kF16);
  EXPECT_EQ(stored_bytes(StoredFormat::kBF16, 7), 14U);
  EXPECT_EQ(stored_bytes(StoredFormat::kQ6_K, 512), 420U);
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

std::vector<std::byte> from_hex(std::string_view text) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoul(std::string(text.substr(i, 2)), nullptr, 16)));
  return bytes;
}

boost::json::object load_cases(const char* name) {
  std::ifstream file(std::string(CAUDAL_TEST_DATA "/reference/") + name);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return boost::json::parse(text).as_object();
}

TEST(StoredParts, OfBlocksHaveTheValuesOfTheirFormat) {
  const boost::json::object cases = load_cases("blocks.json");
  EXPECT_EQ(cases.size(), 8U);
  for (const auto& [name, value] : cases) {
    SCOPED_TRACE(std::string(name));
    const StoredFormat format = find_format(name).value();
    const auto bits = boost::json::value_to<std::vector<std::uint32_t>>(value.at("values"));
    const std::vector<std::byte> blocks = from_hex(value.at("blocks").as_string());
    const auto columns = static_cast<std::int64_t>(bits.size());
    ASSERT_EQ(blocks.size(), stored_bytes(format, columns));
    const StoredPart part{.format = format,
                          .data = blocks.data(),
                          .row_bytes = blocks.size(),
                          .rows = 1,
                          .columns = columns,
                          .stored_rows = 1,
                          .stored_columns = columns};
    std::vector<std::uint32_t> read(bits.size());
    read_rows({&part, 1}, 0, 1, DType::kF32, reinterpret_cast<std::byte*>(read.data()));
    EXPECT_EQ(read, bits);
  }
}

TEST(StoredFormat, RoundsToTheBytesOfGgml) {
  const boost::json::object cases = load_cases("rounded_blocks.json");
  const auto bits = boost::json::value_to<std::vector<std::uint32_t>>(cases.at("values"));
  std::vector<float> values(bits.size());
  std::memcpy(values.data(), bits.data(), bits.size() * sizeof(float));
  for (const StoredFormat format : {StoredFormat::kQ8_0, StoredFormat::kQ4_0}) {
    const FormatInfo& info = info_of(format);
    SCOPED_TRACE(info.name);
    const std::vector<std::byte> expected = from_hex(cases.at(info.name).as_string());
    ASSERT_EQ(expected.size(), stored_bytes(format, std::ssize(values)));
    std::vector<std::byte> block(info.block_bytes);
    for (std::size_t i = 0; i < values.size() / 32; ++i) {
      info.coding.encode(values.data() + 32 * i, block.data());
      const std::byte* const wanted = expected.data() + i * block.size();
      EXPECT_TRUE(std::equal(block.begin(), block.end(), wanted)) << "block " << i;
    }
  }
}

// Neither a code nor a scale can say such a value, so the whole block says that something is wrong.
TEST(StoredFormat, RoundsWhatIsNotFiniteToNaN) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const StoredFormat format : {StoredFormat::kQ8_0, StoredFormat::kQ4_0}) {
    const FormatInfo& info = info_of(format);
    for (const float odd : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
      std::array<float, 32> values{};
      values.fill(1.0F);
      values[7] = odd;
      std::vector<std::byte> block(info.block_bytes);
      info.coding.encode(values.data(), block.data());
      widen_block(info.coding, block.data(), values.size(), values.data());
      EXPECT_TRUE(std::ranges::all_of(values, [](float value) { return std::isnan(value); }));
    }
  }
}

// The last block is read as far as the row goes, and the row is padded with zeros.
TEST(StoredParts, MayEndInsideABlock) {
  for (const StoredFormat format : kBlockFormats) {
    SCOPED_TRACE(info_of(format).name);
    const BlockWeight weight(format, 2, 512, 7);
    const std::vector<float> values = weight.values();
    StoredPart part = weight.part();
    part.stored_columns = 300;
    part.columns = 310;
    std::vector<float> row(310);
    read_rows({&part, 1}, 1, 1, DType::kF32, reinterpret_cast<std::byte*>(row.data()));
    EXPECT_TRUE(std::equal(row.begin(), row.begin() + 300, values.begin() + 512));
    EXPECT_EQ(std::vector<float>(row.begin() + 300, row.end()), std::vector<float>(10));
  }
}

}  // namespace
}  // namespace caudal
