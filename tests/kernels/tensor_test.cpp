// Views address the elements they say, and refuse what lies outside.
#include "kernels/tensor.h"

#include <gtest/gtest.h>

#include "kernels/buffer.h"

namespace caudal {
namespace {

TEST(Tensor, RowAndColumnViewsPointIntoTheMatrix) {
  float data[12] = {};
  const Tensor matrix(data, DType::kF32, {3, 4});
  const Tensor row = matrix.rows(2, 1);
  EXPECT_EQ(row.as<float>(), data + 8);
  EXPECT_TRUE(row.contiguous());
  const Tensor columns = matrix.columns(1, 2);
  EXPECT_EQ(columns.as<float>(), data + 1);
  EXPECT_EQ(columns.stride0(), 4);
  EXPECT_FALSE(columns.contiguous());
  EXPECT_EQ(columns.bytes(), 6 * sizeof(float));
  EXPECT_EQ(matrix.reshaped({2, 3, 2}).dim(1), 3);
}

TEST(Tensor, DescribesItself) {
  float data[12] = {};
  EXPECT_EQ(Tensor(data, DType::kBF16, {3, 4}).describe(), "bf16[3, 4]");
  EXPECT_EQ(Tensor().describe(), "empty");
}

TEST(TensorDeathTest, RefusesViewsOutside) {
  float data[12] = {};
  const Tensor matrix(data, DType::kF32, {3, 4});
  EXPECT_DEATH(matrix.rows(2, 2), "CHECK");
  EXPECT_DEATH(matrix.columns(3, 2), "CHECK");
  EXPECT_DEATH(matrix.columns(0, 2).reshaped({6}), "CHECK");
  EXPECT_DEATH(matrix.reshaped({5}), "CHECK");
}

TEST(Buffer, IsFreedExactlyOnce) {
  int freed = 0;
  float data[4];
  {
    Buffer first(data, sizeof(data), [&](void* p) { freed += p == data ? 1 : 100; });
    Buffer second = std::move(first);
    EXPECT_EQ(second.tensor(DType::kF32, {2, 2}).data(), data);
    second = Buffer();
    EXPECT_EQ(freed, 1);
  }
  EXPECT_EQ(freed, 1);
}

}  // namespace
}  // namespace caudal
