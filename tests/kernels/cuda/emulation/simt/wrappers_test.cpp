// Hopper's wrappers against plain loops: on the emulation, and on a GPU, where it is the instruction that is tested.
#include "tests/kernels/cuda/emulation/simt/wrappers.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <random>
#include <vector>

#include "tests/kernels/cuda/device.h"

namespace caudal::wrappers {
namespace {

using test::DeviceArray;

std::uint16_t encode(DType dtype, float x) {
  return dtype == DType::kBF16 ? static_cast<__nv_bfloat16_raw>(__float2bfloat16(x)).x
                               : static_cast<__half_raw>(__float2half(x)).x;
}
double decode(DType dtype, std::uint16_t bits) {
  return dtype == DType::kBF16 ? static_cast<double>(__bfloat162float(__nv_bfloat16_raw{bits}))
                               : static_cast<double>(__half2float(__half_raw{bits}));
}

class Wrappers : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::has_device() || test::compute_capability() != 90) GTEST_SKIP() << "needs compute capability 9.0";
  }
};

// The largest error of out against float64; nothing when there is no such kernel.
std::optional<double> product_error(const Product& product) {
  std::mt19937 random(static_cast<unsigned>(product.n));
  std::normal_distribution<float> normal;
  const auto n = static_cast<std::size_t>(product.n);
  std::vector<std::uint16_t> a(64 * kDepth), b(n * kDepth);
  for (std::uint16_t& x : a) x = encode(product.dtype, normal(random));
  for (std::uint16_t& x : b) x = encode(product.dtype, normal(random));
  const DeviceArray<std::uint16_t> da(a), db(b);
  const DeviceArray<float> out(64 * n, NAN);
  if (!wgmma_product(out.data(), da.data(), db.data(), product)) return std::nullopt;
  const std::vector<float> got = out.read();
  double worst = 0;
  for (std::size_t i = 0; i < 64; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < kDepth; ++k) {
        const std::uint16_t from_b = product.transpose_b ? b[k * n + j] : b[j * kDepth + k];
        sum += decode(product.dtype, a[i * kDepth + k]) * decode(product.dtype, from_b);
      }
      const double error = std::abs(sum - static_cast<double>(got[i * n + j]));
      if (!(error <= worst)) worst = error;
    }
  }
  return worst;
}

TEST_F(Wrappers, WgmmaOfEverySizeAndOperand) {
  int kernels = 0;
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    for (const int n : {64, 80, 96, 128, 256}) {
      for (const bool transpose_b : {false, true}) {
        for (const bool a_in_registers : {false, true}) {
          const std::optional<double> error = product_error({dtype, n, transpose_b, a_in_registers});
          if (!error) continue;
          ++kernels;
          EXPECT_LT(*error, 1e-4) << dtype_name(dtype) << " n " << n << (transpose_b ? " B transposed" : "")
                                  << (a_in_registers ? " A in registers" : "");
        }
      }
    }
  }
  EXPECT_EQ(kernels, 30);
}

// Boxes inside, across both ends of a dimension, and past the last.
TEST_F(Wrappers, TmaOfThreeAndFourDimensions) {
  const Box boxes[] = {
      {3, {24, 6, 5, 1}, {16, 3, 2, 1}, {8, 1, 2, 0}},   {3, {24, 6, 5, 1}, {16, 3, 2, 1}, {16, 4, 4, 0}},
      {3, {24, 6, 5, 1}, {16, 3, 2, 1}, {-8, -1, 0, 0}}, {4, {16, 5, 4, 3}, {8, 3, 2, 2}, {8, 1, 1, 1}},
      {4, {16, 5, 4, 3}, {8, 3, 2, 2}, {8, 3, 3, 2}},    {4, {16, 5, 4, 3}, {16, 2, 4, 3}, {0, -1, 0, -1}}};
  for (const Box& box : boxes) {
    std::vector<std::uint16_t> tensor(static_cast<std::size_t>(box.dims[0] * box.dims[1] * box.dims[2] * box.dims[3]));
    for (std::size_t i = 0; i < tensor.size(); ++i) tensor[i] = static_cast<std::uint16_t>(i + 1);
    std::vector<std::uint16_t> wanted;
    for (std::uint32_t i3 = 0; i3 < box.box[3]; ++i3) {
      for (std::uint32_t i2 = 0; i2 < box.box[2]; ++i2) {
        for (std::uint32_t i1 = 0; i1 < box.box[1]; ++i1) {
          for (std::uint32_t i0 = 0; i0 < box.box[0]; ++i0) {
            const std::int64_t at[4] = {box.start[0] + std::int64_t{i0}, box.start[1] + std::int64_t{i1},
                                        box.start[2] + std::int64_t{i2}, box.start[3] + std::int64_t{i3}};
            bool inside = true;
            std::int64_t index = 0;
            for (std::size_t d = 4; d-- > 0;) {
              inside = inside && at[d] >= 0 && at[d] < box.dims[d];
              index = index * box.dims[d] + at[d];
            }
            wanted.push_back(inside ? tensor[static_cast<std::size_t>(index)] : std::uint16_t{0});
          }
        }
      }
    }
    const DeviceArray<std::uint16_t> source(tensor), out(wanted.size(), 0xFFFF);
    copy_box(out.data(), source.data(), box);
    EXPECT_EQ(out.read(), wanted) << "rank " << box.rank << " from " << box.start[0] << ", " << box.start[1];
  }
}

TEST_F(Wrappers, BulkCopy) {
  std::vector<std::uint16_t> x(512);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint16_t>(3 * i);
  const DeviceArray<std::uint16_t> source(x), out(512, 0xFFFF);
  copy_bulk(out.data(), source.data());
  EXPECT_EQ(out.read(), x);
}

}  // namespace
}  // namespace caudal::wrappers
