// Algorithms of matrix products are chosen by their speed, at start and not in a step.
#include "kernels/cuda/backend/matmul.h"

#include <gtest/gtest.h>

#include "kernels/cuda/emulation/fake/device.h"

namespace caudal::cuda {
namespace {

class MatmulTest : public testing::Test {
 protected:
  static constexpr std::int64_t kRows = 40, kIn = 8, kOut = 16;

  void SetUp() override {
    fake::reset({});
    context_ = std::move(CudaContext::create(0)).value();
    matmul_ = std::move(Matmul::create(*context_, allocate(1024), {})).value();
    x_ = tensor(kRows, kIn), out_ = tensor(kRows, kOut);
    weight_ = std::make_unique<CudaLinear>(tensor(kOut, kIn), Tensor(), Tensor(), std::vector<Buffer>());
  }
  void TearDown() override {
    matmul_.reset();
    memory_.clear();
    context_.reset();
    EXPECT_EQ(fake::counters().device_bytes, 0U);
    fake::reset({});
  }

  static Buffer allocate(std::size_t bytes) {
    void* data = nullptr;
    CHECK(cudaMalloc(&data, bytes) == cudaSuccess);
    return Buffer(data, bytes, [](void* p) { cudaFree(p); });
  }
  Tensor tensor(std::int64_t rows, std::int64_t columns) {
    memory_.push_back(allocate(static_cast<std::size_t>(rows * columns) * sizeof(float)));
    const Tensor made = memory_.back().tensor(DType::kF32, {rows, columns});
    std::fill_n(made.as<float>(), made.elements(), 1.0F);
    return made;
  }
  void run(std::int64_t rows) {
    std::fill_n(out_.as<float>(), out_.elements(), 0.0F);
    matmul_->run(x_.rows(0, rows), *weight_, out_.rows(0, rows));
    context_->synchronize();
    ASSERT_FALSE(context_->failure()) << context_->failure()->message;
    for (std::int64_t i = 0; i < out_.elements(); ++i)
      ASSERT_EQ(out_.as<float>()[i], i < rows * kOut ? static_cast<float>(kIn) : 0.0F);
  }

  std::unique_ptr<CudaContext> context_;
  std::unique_ptr<Matmul> matmul_;
  std::vector<Buffer> memory_;
  Tensor x_, out_;
  std::unique_ptr<CudaLinear> weight_;
};

TEST_F(MatmulTest, ClassesOfRowsAreAtMostHalfAsLargeAgain) {
  std::vector<std::int64_t> classes;
  for (std::int64_t rows = 1; rows <= 256; rows = Matmul::row_class(rows) + 1)
    classes.push_back(Matmul::row_class(rows));
  EXPECT_EQ(classes, (std::vector<std::int64_t>{1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256}));
}

TEST_F(MatmulTest, TheFastestIsChosenForAnyNumberOfRowsAndNoStepTimesAgain) {
  fake::settings().slow_algorithms = 2;
  matmul_->choose(x_, *weight_, out_);
  const long tried = fake::counters().slow_products;
  EXPECT_GT(tried, 0);
  for (const std::int64_t rows : {1, 3, 5, 17, 33, 40}) run(rows);
  EXPECT_EQ(fake::counters().slow_products, tried);
  matmul_->choose(x_, *weight_, out_);  // another layer of the same shape
  EXPECT_EQ(fake::counters().slow_products, tried);
}

TEST_F(MatmulTest, WhatWasNotChosenIsTheLibrarysFirstProposal) {
  fake::settings().slow_algorithms = 1;
  run(7);
  EXPECT_EQ(fake::counters().slow_products, 1);
}

}  // namespace
}  // namespace caudal::cuda
