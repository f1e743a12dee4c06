// A wrong shape aborts with the op, the tensor, the dimension and both values.
#include "kernels/expect.h"

#include <gtest/gtest.h>

namespace caudal {
namespace {

Tensor make(DType dtype, std::initializer_list<std::int64_t> shape) {
  static float storage[64];
  return Tensor(storage, dtype, shape);
}

TEST(Expect, BindsADimensionOnce) {
  Dim rows("rows"), hidden("hidden");
  Expect("op").shape("x", make(DType::kF32, {3, 5}), {rows, hidden}).shape("w", make(DType::kF32, {5}), {hidden});
  EXPECT_EQ(*rows, 3);
  EXPECT_EQ(*hidden, 5);
}

TEST(ExpectDeathTest, NamesWhatDisagrees) {
  Dim rows("rows"), hidden("hidden");
  Expect expect("norm");
  expect.shape("x", make(DType::kF32, {3, 5}), {rows, hidden});
  EXPECT_DEATH(expect.shape("w", make(DType::kBF16, {4}), {hidden}), "norm: w is bf16\\[4\\], expected hidden = 5");
  EXPECT_DEATH(expect.shape("w", make(DType::kF32, {5, 1}), {hidden}), "expected 1 dimensions");
}

TEST(ExpectDeathTest, ChecksDtypeAndLayout) {
  Expect expect("op");
  expect.dtype("ids", make(DType::kI32, {4}), DType::kI32);
  EXPECT_DEATH(expect.dtype("ids", make(DType::kF32, {4}), DType::kI32), "ids is f32\\[4\\], expected i32");
  const Tensor matrix = make(DType::kF32, {4, 8});
  expect.contiguous("x", matrix);
  EXPECT_DEATH(expect.contiguous("x", matrix.columns(0, 4)), "expected contiguous rows");
  EXPECT_DEATH(expect.that(false, "cap must be positive"), "cap must be positive");
}

}  // namespace
}  // namespace caudal
