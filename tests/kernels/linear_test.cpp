// linear against float64, and the property that batching rests on: a row has the same bits whatever rows are
// computed beside it and however many threads run.
#include <cmath>

#include "tests/kernels/op_test.h"

namespace caudal {
namespace {

class LinearTest : public OpTest {
 protected:
  static std::unique_ptr<Linear> pack(Backend& backend, const OwnedMatrix& weight, const Tensor& bias) {
    Result<std::unique_ptr<Linear>> packed = backend.pack_linear(source_of(weight.tensor(), bias));
    CHECK(packed.ok());
    return std::move(packed).value();
  }
};
INSTANTIATE_TEST_SUITE_P(Cases, LinearTest, kEveryOpCase, op_case_name);

// A sum of n terms in f32, in any order, is within n * 2^-24 of the exact one, relative to the sum of the terms'
// magnitudes (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2); storing as bf16 adds half a
// unit of its 8 bits.
void expect_product(const OwnedMatrix& x, const OwnedMatrix& weight, const OwnedMatrix& bias, const OwnedMatrix& out) {
  for (std::int64_t r = 0; r < out.rows(); ++r) {
    for (std::int64_t c = 0; c < out.columns(); ++c) {
      double sum = bias.at(0, c), magnitude = std::abs(sum);
      for (std::int64_t k = 0; k < x.columns(); ++k) {
        sum += x.at(r, k) * weight.at(c, k);
        magnitude += std::abs(x.at(r, k) * weight.at(c, k));
      }
      const double rounding = out.dtype() == DType::kBF16 ? std::abs(sum) / 256 : 0;
      const auto terms = static_cast<double>(x.columns() + 1);
      ASSERT_NEAR(out.at(r, c), sum, terms * magnitude * 0x1p-24 + rounding) << "row " << r << " column " << c;
    }
  }
}

TEST_P(LinearTest, MatchesFloat64AtOddSizesAndStrides) {
  struct Shape {
    std::int64_t rows, in, out;
  };
  for (const Shape& shape : {Shape{1, 32, 32}, {2, 7, 5}, {5, 33, 100}, {17, 64, 48}, {40, 96, 31}, {70, 560, 65}}) {
    const OwnedMatrix x = OwnedMatrix(dtype(), shape.rows, shape.in, 5).fill_normal(1);
    const OwnedMatrix weight = OwnedMatrix(dtype(), shape.out, shape.in, 3).fill_normal(2);
    const OwnedMatrix bias = OwnedMatrix(dtype(), 1, shape.out).fill_normal(3);
    const std::unique_ptr<Linear> packed = pack(*backend_, weight, bias.vector());
    EXPECT_EQ(packed->in_features(), shape.in);
    EXPECT_EQ(packed->out_features(), shape.out);
    for (const DType out_dtype : {dtype(), DType::kF32}) {
      const OwnedMatrix out(out_dtype, shape.rows, shape.out, 4);
      const TestBytes untouched = out.bytes();
      backend_->linear(x.tensor(), *packed, out.tensor());
      expect_product(x, weight, bias, out);
      EXPECT_EQ(out.bytes().back(), untouched.back());
    }
  }
}

TEST_P(LinearTest, WithoutBias) {
  const OwnedMatrix x = OwnedMatrix(dtype(), 3, 64).fill_normal(1),
                    weight = OwnedMatrix(dtype(), 40, 64).fill_normal(2);
  OwnedMatrix zero(dtype(), 1, 40);
  for (std::int64_t c = 0; c < 40; ++c) zero.set(0, c, 0);
  const OwnedMatrix out(dtype(), 3, 40);
  backend_->linear(x.tensor(), *pack(*backend_, weight, {}), out.tensor());
  expect_product(x, weight, zero, out);
}

// A weight that is stored in another dtype, in two parts: the same as one of converted values. It takes no more memory
// than the plan is told.
TEST_P(LinearTest, PacksWhatIsStoredOtherwise) {
  const DType other = dtype() == DType::kF32 ? DType::kBF16 : DType::kF32;
  const OwnedMatrix above = OwnedMatrix(other, 30, 70, 2).fill_normal(2),
                    below = OwnedMatrix(other, 25, 70).fill_normal(4);
  OwnedMatrix weight(dtype(), 55, 70);
  for (std::int64_t r = 0; r < 55; ++r)
    for (std::int64_t c = 0; c < 70; ++c) weight.set(r, c, r < 30 ? above.at(r, c) : below.at(r - 30, c));
  const OwnedMatrix bias = OwnedMatrix(dtype(), 1, 55).fill_normal(3), x = OwnedMatrix(dtype(), 5, 70).fill_normal(1);
  LinearSource source = source_of(weight.tensor(), bias.vector());
  const std::unique_ptr<Linear> plain = std::move(backend_->pack_linear(source)).value();
  source.weight.clear();
  source.weight.push_back(stored(above.tensor()));
  source.weight.push_back(stored(below.tensor()));
  ASSERT_TRUE(backend_->takes(source.weight.front().format));
  const std::unique_ptr<Linear> converted = std::move(backend_->pack_linear(source)).value();
  const OwnedMatrix expected(dtype(), 5, 55), out(dtype(), 5, 55);
  backend_->linear(x.tensor(), *plain, expected.tensor());
  backend_->linear(x.tensor(), *converted, out.tensor());
  EXPECT_TRUE(same_bits(out.tensor(), expected.tensor()));
  EXPECT_LE(converted->bytes(), backend_->packed_bytes(shape_of(source)));
  EXPECT_GE(converted->bytes(), 55U * 70 * dtype_bytes(dtype()));
}

TEST_P(LinearTest, WritesNothingOutsideItsRows) {
  const OwnedMatrix x = OwnedMatrix(dtype(), 19, 64).fill_normal(1),
                    weight = OwnedMatrix(dtype(), 37, 64).fill_normal(2);
  OwnedMatrix out(dtype(), 21, 45);
  for (std::int64_t r = 0; r < 21; ++r) {
    for (std::int64_t c = 0; c < 45; ++c) out.set(r, c, 7);
  }
  backend_->linear(x.tensor(), *pack(*backend_, weight, {}), out.tensor().rows(1, 19).columns(3, 37));
  for (std::int64_t r = 0; r < 21; ++r) {
    for (std::int64_t c = 0; c < 45; ++c) {
      if (r < 1 || r >= 20 || c < 3 || c >= 40) {
        ASSERT_EQ(out.at(r, c), 7) << r << ' ' << c;
      }
    }
  }
}

// k = 2,200 is cut in several passes when there are many rows and in none when there are few; 600 rows are more than
// one task's.
TEST_P(LinearTest, RowsHaveTheSameBitsInAnyBatch) {
  const std::unique_ptr<Backend> two_threads = make_deterministic(2), one_thread = make_deterministic(1);
  constexpr std::int64_t kRows = 600, kIn = 2200, kOut = 80;
  const OwnedMatrix x = OwnedMatrix(dtype(), kRows, kIn).fill_normal(4);
  const OwnedMatrix weight = OwnedMatrix(dtype(), kOut, kIn).fill_normal(5);
  const OwnedMatrix bias = OwnedMatrix(dtype(), 1, kOut).fill_normal(6);
  const OwnedMatrix all(dtype(), kRows, kOut);
  const std::unique_ptr<Linear> packed = pack(*two_threads, weight, bias.vector());
  two_threads->linear(x.tensor(), *packed, all.tensor());
  for (const std::int64_t count : {1, 2, 3, 15, 16, 17, 31, 33, 64, 65, 100, 513}) {
    for (const std::int64_t first : {std::int64_t{0}, std::int64_t{41}, kRows - count}) {
      const OwnedMatrix some(dtype(), count, kOut);
      two_threads->linear(x.tensor().rows(first, count), *packed, some.tensor());
      ASSERT_TRUE(same_bits(some.tensor(), all.tensor().rows(first, count))) << count << " rows from " << first;
    }
  }
  const OwnedMatrix alone(dtype(), kRows, kOut);
  one_thread->linear(x.tensor(), *pack(*one_thread, weight, bias.vector()), alone.tensor());
  EXPECT_TRUE(same_bits(alone.tensor(), all.tensor()));
}

}  // namespace
}  // namespace caudal
