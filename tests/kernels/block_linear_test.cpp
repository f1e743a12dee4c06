// Products by weights that are computed in the blocks they are stored in: exact beside Q8_0, and where x is exact in 8
// bits; within the rounding of x elsewhere; the same bits for every instruction set, batch and number of threads.
#include <cmath>

#include "tests/kernels/block_weights.h"
#include "tests/kernels/op_test.h"

namespace caudal {
namespace {

constexpr std::int64_t kIn = 768;

class BlockLinearTest : public testing::TestWithParam<std::tuple<StoredFormat, DType, const char*>> {
 protected:
  StoredFormat format() const { return std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }
  const char* isa() const { return std::get<2>(GetParam()); }

  static std::unique_ptr<Linear> pack(Backend& backend, std::vector<StoredPart> weight, DType dtype,
                                      const Tensor& bias = {}) {
    LinearSource source;
    source.dtype = dtype;
    source.weight = std::move(weight);
    if (!bias.empty()) source.bias.push_back(stored(bias));
    const std::size_t planned = backend.packed_bytes(shape_of(source));
    std::unique_ptr<Linear> packed = std::move(backend.pack_linear(source)).value();
    EXPECT_EQ(packed->bytes(), planned);
    return packed;
  }
  static std::vector<StoredPart> parts_of(const BlockWeight& weight) {
    std::vector<StoredPart> parts;
    parts.push_back(weight.part());
    return parts;
  }
  std::unique_ptr<Linear> pack(const BlockWeight& weight, const Tensor& bias = {}) {
    return pack(*backend_, parts_of(weight), dtype(), bias);
  }

  std::unique_ptr<Backend> backend_ = make_test_backend(isa(), 2);
};
INSTANTIATE_TEST_SUITE_P(Cases, BlockLinearTest,
                         testing::Combine(testing::ValuesIn(kBlockFormats), testing::Values(DType::kF32, DType::kBF16),
                                          testing::Values("baseline", "avx2", "avx512", "avx512_vnni", "amx")),
                         [](const auto& test) {
                           return std::string(info_of(std::get<0>(test.param)).name) + "_" +
                                  dtype_name(std::get<1>(test.param)) + "_" + std::get<2>(test.param);
                         });

// Whole numbers up to 127 with a 127 in each 32 of them: x is its own code, and its scale is 1.
OwnedMatrix whole_numbers(DType dtype, std::int64_t rows, unsigned seed) {
  OwnedMatrix x(dtype, rows, kIn, 3);
  std::mt19937 random(seed);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t k = 0; k < kIn; ++k) x.set(r, k, k % 32 == 5 ? -127 : static_cast<double>(random() % 255) - 127);
  }
  return x;
}

// How far a product may be from the exact one. Sums of n terms in f32 are within n * 2^-24 of the sum of magnitudes
// (Higham, section 4.2); the code and the minimum that a value of a block is made of are at most four times the largest
// value beside it. x is rounded by at most half of its scale: 1 / 254 of the largest value beside it.
struct Exact {
  double sum = 0, of_sum = 0, of_x = 0;
};
Exact exact_product(const OwnedMatrix& x, std::int64_t row, std::span<const float> weight) {
  Exact exact;
  for (std::int64_t begin = 0; begin < kIn; begin += 32) {
    double largest_x = 0, largest_w = 0, x_sum = 0, w_sum = 0;
    for (std::int64_t k = begin; k < begin + 32; ++k) {
      const auto w = static_cast<double>(weight[static_cast<std::size_t>(k)]);
      exact.sum += x.at(row, k) * w;
      largest_x = std::max(largest_x, std::abs(x.at(row, k))), largest_w = std::max(largest_w, std::abs(w));
      x_sum += std::abs(x.at(row, k)), w_sum += std::abs(w);
    }
    exact.of_sum += 4 * largest_w * x_sum * static_cast<double>(kIn) * 0x1p-24;
    exact.of_x += w_sum * largest_x / 254 * 1.001;
  }
  return exact;
}

void expect_products(const OwnedMatrix& x, const BlockWeight& weight, const OwnedMatrix& bias, const OwnedMatrix& out,
                     bool x_is_exact) {
  const std::vector<float> values = weight.values();
  for (std::int64_t r = 0; r < out.rows(); ++r) {
    for (std::int64_t c = 0; c < out.columns(); ++c) {
      const std::span row(values.data() + c * kIn, static_cast<std::size_t>(kIn));
      const Exact exact = exact_product(x, r, row);
      const double want = exact.sum + bias.at(0, c), error = exact.of_sum + (x_is_exact ? 0 : exact.of_x);
      const double rounding = out.dtype() == DType::kBF16 ? (std::abs(want) + error) / 256 : 0;
      ASSERT_NEAR(out.at(r, c), want, error + rounding) << "row " << r << " column " << c;
    }
  }
}

TEST_P(BlockLinearTest, RowsAreReadBackAsTheyWereStored) {
  const BlockWeight weight(format(), 70, kIn, 9);
  const std::vector<float> values = weight.values();
  const std::unique_ptr<Linear> packed = pack(weight);
  OwnedMatrix ids(DType::kI32, 1, 3), expected(dtype(), 3, kIn);
  for (const auto& [i, row] : {std::pair{0, 0}, {1, 69}, {2, 33}}) {
    ids.set(0, i, row);
    for (std::int64_t k = 0; k < kIn; ++k)
      expected.set(i, k, static_cast<double>(values[static_cast<std::size_t>(row * kIn + k)]));
  }
  const OwnedMatrix out(dtype(), 3, kIn, 5);
  backend_->embedding(ids.vector(), *packed, 0, out.tensor());
  for (int row = 0; row < 3; ++row) EXPECT_EQ(out.row(row), expected.row(row));
}

TEST_P(BlockLinearTest, IsExactWhereXIs) {
  for (const std::int64_t columns : {1, 33, 70}) {
    const BlockWeight weight(format(), columns, kIn, 3);
    const OwnedMatrix bias = OwnedMatrix(dtype(), 1, columns).fill_normal(4, 50);
    const std::unique_ptr<Linear> packed = pack(weight, bias.vector());
    for (const std::int64_t rows : {1, 2, 3, 5, 17}) {
      const OwnedMatrix x = whole_numbers(dtype(), rows, 5), out(dtype(), rows, columns, 2),
                        f32(DType::kF32, rows, columns);
      backend_->linear(x.tensor(), *packed, out.tensor());
      expect_products(x, weight, bias, out, true);
      backend_->linear(x.tensor(), *packed, f32.tensor());
      expect_products(x, weight, bias, f32, true);
    }
  }
}

// All codes and all of x at their ends, where sums of few bits would overflow.
TEST_P(BlockLinearTest, IsExactAtTheEnds) {
  OwnedMatrix zero(dtype(), 1, 33), x(dtype(), 9, kIn);
  for (std::int64_t c = 0; c < 33; ++c) zero.set(0, c, 0);
  for (std::int64_t r = 0; r < 9; ++r) {
    for (std::int64_t k = 0; k < kIn; ++k) x.set(r, k, r % 2 == 0 ? 127 : -127);
  }
  for (const std::byte byte : {std::byte{0xFF}, std::byte{0x7F}, std::byte{0x80}, std::byte{0}}) {
    const BlockWeight weight(format(), 33, kIn, 3, byte);
    const OwnedMatrix out(DType::kF32, 9, 33);
    backend_->linear(x.tensor(), *pack(weight), out.tensor());
    expect_products(x, weight, zero, out, true);
  }
}

TEST_P(BlockLinearTest, RoundsXTo8BitsBesideFewerBits) {
  const BlockWeight weight(format(), 40, kIn, 3);
  OwnedMatrix zero(dtype(), 1, 40);
  for (std::int64_t c = 0; c < 40; ++c) zero.set(0, c, 0);
  const OwnedMatrix x = OwnedMatrix(dtype(), 6, kIn).fill_normal(7), out(DType::kF32, 6, 40);
  backend_->linear(x.tensor(), *pack(weight), out.tensor());
  expect_products(x, weight, zero, out, format() == StoredFormat::kQ8_0);
}

TEST_P(BlockLinearTest, HasTheSameBitsEverywhere) {
  constexpr std::int64_t kRows = 37, kColumns = 75;
  const BlockWeight weight(format(), kColumns, kIn, 3);
  const OwnedMatrix x = OwnedMatrix(dtype(), kRows, kIn).fill_normal(8), all(DType::kF32, kRows, kColumns);
  const std::unique_ptr<Backend> baseline = make_test_backend("baseline", 1);
  baseline->linear(x.tensor(), *pack(*baseline, parts_of(weight), dtype()), all.tensor());
  const std::unique_ptr<Linear> packed = pack(weight);
  for (const std::int64_t count : {1, 2, 3, 4, 7, 8, 9, 15, 16, 37}) {
    for (const std::int64_t first : {std::int64_t{0}, kRows - count}) {
      const OwnedMatrix some(DType::kF32, count, kColumns);
      backend_->linear(x.tensor().rows(first, count), *packed, some.tensor());
      ASSERT_TRUE(same_bits(some.tensor(), all.tensor().rows(first, count))) << count << " rows from " << first;
    }
  }
}

// As a rank has it: the second half of the columns, and rows past the end of what is stored.
TEST_P(BlockLinearTest, TakesAPartOfWhatIsStored) {
  const BlockWeight whole(format(), 40, 2 * kIn, 3);
  StoredPart part = whole.part();
  part.data += stored_bytes(format(), kIn);
  part.columns = part.stored_columns = kIn;
  part.rows = 50;
  std::vector<float> values(static_cast<std::size_t>(50 * kIn));
  read_rows({&part, 1}, 0, 50, DType::kF32, reinterpret_cast<std::byte*>(values.data()));
  const OwnedMatrix x = whole_numbers(dtype(), 3, 5), out(DType::kF32, 3, 50);
  std::vector<StoredPart> parts;
  parts.push_back(std::move(part));
  backend_->linear(x.tensor(), *pack(*backend_, std::move(parts), dtype()), out.tensor());
  for (std::int64_t r = 0; r < 3; ++r) {
    for (std::int64_t c = 0; c < 50; ++c) {
      const Exact exact = exact_product(x, r, std::span(values).subspan(static_cast<std::size_t>(c * kIn), kIn));
      ASSERT_NEAR(out.at(r, c), exact.sum, exact.of_sum) << "row " << r << " column " << c;
    }
  }
}

// Parts of other formats are pieces of their own.
TEST_P(BlockLinearTest, StandsBesideOtherFormats) {
  const BlockWeight weight(format(), 40, kIn, 3), other(StoredFormat::kQ8_0, 5, kIn, 4);
  const OwnedMatrix plain = OwnedMatrix(dtype(), 7, kIn).fill_normal(5),
                    x = OwnedMatrix(dtype(), 4, kIn).fill_normal(6);
  const OwnedMatrix bias = OwnedMatrix(dtype(), 1, 52).fill_normal(9);
  std::vector<StoredPart> parts = parts_of(weight);
  parts.push_back(stored(plain.tensor()));
  parts.push_back(other.part());
  const OwnedMatrix out(dtype(), 4, 52), first(dtype(), 4, 40), second(dtype(), 4, 7), third(dtype(), 4, 5);
  backend_->linear(x.tensor(), *pack(*backend_, std::move(parts), dtype(), bias.vector()), out.tensor());
  const auto bias_of = [&](std::int64_t begin, std::int64_t count) {
    return bias.tensor().columns(begin, count).rows(0, 1).as<std::byte>();
  };
  const Tensor bias0(bias_of(0, 40), dtype(), {40}), bias1(bias_of(40, 7), dtype(), {7}),
      bias2(bias_of(47, 5), dtype(), {5});
  std::vector<StoredPart> plain_parts;
  plain_parts.push_back(stored(plain.tensor()));
  backend_->linear(x.tensor(), *pack(weight, bias0), first.tensor());
  backend_->linear(x.tensor(), *pack(*backend_, std::move(plain_parts), dtype(), bias1), second.tensor());
  backend_->linear(x.tensor(), *pack(other, bias2), third.tensor());
  EXPECT_TRUE(same_bits(out.tensor().columns(0, 40), first.tensor()));
  EXPECT_TRUE(same_bits(out.tensor().columns(40, 7), second.tensor()));
  EXPECT_TRUE(same_bits(out.tensor().columns(47, 5), third.tensor()));
}

TEST_P(BlockLinearTest, IsNotInflated) {
  const BlockWeight weight(format(), 64, kIn, 3);
  const auto stored = static_cast<double>(64 * stored_bytes(format(), kIn));
  EXPECT_LE(static_cast<double>(pack(weight)->bytes()), 1.03 * stored + 64 * sizeof(float));
}

TEST_P(BlockLinearTest, WhatIsNotFiniteStaysSo) {
  const BlockWeight weight(format(), 5, kIn, 3);
  OwnedMatrix x = whole_numbers(dtype(), 3, 5);
  for (std::int64_t k = 0; k < kIn; ++k) x.set(0, k, 0);
  x.set(1, 40, std::numeric_limits<double>::infinity());
  x.set(2, 700, std::numeric_limits<double>::quiet_NaN());
  const OwnedMatrix out(DType::kF32, 3, 5);
  backend_->linear(x.tensor(), *pack(weight), out.tensor());
  for (std::int64_t c = 0; c < 5; ++c) {
    EXPECT_EQ(out.at(0, c), 0);
    EXPECT_FALSE(std::isfinite(out.at(1, c)));
    EXPECT_TRUE(std::isnan(out.at(2, c)));
  }
}

}  // namespace
}  // namespace caudal
