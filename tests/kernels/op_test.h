// What the op tests share: tensors with their own memory, and one test body for every dtype and instruction
// set cap this machine has.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/bf16.h"
#include "kernels/factory/make_backend.h"
#include "kernels/half_float.h"
#include "tests/kernels/test_memory.h"
#include "tests/kernels/waiting_backend.h"

namespace caudal {

// To nearest even in 11 bits, 2^-24 the smallest.
inline double round_to_f16(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int lowest_bit = std::max(std::ilogb(value) - 10, -24);
  return std::ldexp(std::nearbyint(std::ldexp(value, -lowest_bit)), lowest_bit);
}

inline double round_to(DType dtype, double value) {
  if (dtype == DType::kF16) return round_to_f16(value);
  const auto rounded = static_cast<float>(value);
  return static_cast<double>(dtype == DType::kBF16 ? to_float(to_bf16(rounded)) : rounded);
}

// A matrix [rows, columns] of any dtype whose rows lie `padding` elements apart; the padding must survive.
class OwnedMatrix {
 public:
  OwnedMatrix(DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t padding = 0)
      : dtype_(dtype), rows_(rows), columns_(columns), stride_(columns + padding) {
    bytes_.assign(static_cast<std::size_t>(rows_ * stride_) * dtype_bytes(dtype_) + 1, std::byte{0x5A});
  }

  Tensor tensor() const {
    return Tensor(const_cast<std::byte*>(bytes_.data()), dtype_, {rows_, stride_}).columns(0, columns_);
  }
  Tensor vector() const { return Tensor(const_cast<std::byte*>(bytes_.data()), dtype_, {columns_}); }

  std::int64_t rows() const { return rows_; }
  std::int64_t columns() const { return columns_; }
  DType dtype() const { return dtype_; }

  double at(std::int64_t row, std::int64_t column) const {
    const Tensor view = tensor().rows(row, 1);
    if (dtype_ == DType::kI32) return view.as<std::int32_t>()[column];
    if (dtype_ == DType::kF32) return static_cast<double>(view.as<float>()[column]);
    if (dtype_ == DType::kF16) return static_cast<double>(f16_to_float(view.as<std::uint16_t>()[column]));
    return static_cast<double>(to_float(view.as<BF16>()[column]));
  }
  void set(std::int64_t row, std::int64_t column, double value) {
    const Tensor view = tensor().rows(row, 1);
    if (dtype_ == DType::kI32) {
      view.as<std::int32_t>()[column] = static_cast<std::int32_t>(value);
    } else if (dtype_ == DType::kF32) {
      view.as<float>()[column] = static_cast<float>(value);
    } else if (dtype_ == DType::kF16) {
      view.as<std::uint16_t>()[column] = float_to_f16(static_cast<float>(value));
    } else {
      view.as<BF16>()[column] = to_bf16(static_cast<float>(value));
    }
  }
  std::vector<double> row(std::int64_t index) const {
    std::vector<double> values;
    for (std::int64_t c = 0; c < columns_; ++c) values.push_back(at(index, c));
    return values;
  }
  OwnedMatrix& fill_normal(unsigned seed, double deviation = 1.0) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal(0.0, deviation);
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t c = 0; c < columns_; ++c) set(r, c, normal(random));
    }
    return *this;
  }
  const TestBytes& bytes() const { return bytes_; }

 private:
  DType dtype_;
  std::int64_t rows_, columns_, stride_;
  TestBytes bytes_;
};

inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.dim(0) != b.dim(0) || a.row_elements() != b.row_elements() || a.dtype() != b.dtype()) return false;
  const std::size_t bytes = static_cast<std::size_t>(a.row_elements()) * dtype_bytes(a.dtype());
  for (std::int64_t r = 0; r < a.dim(0); ++r) {
    if (std::memcmp(a.rows(r, 1).data(), b.rows(r, 1).data(), bytes) != 0) return false;
  }
  return true;
}

// f32 to a few units in the last place. bf16 results are nearly all equal; a value that f32 and f64 put on
// different sides of a rounding boundary may differ, by one unit for each rounding of the definition.
inline void expect_close(const OwnedMatrix& actual, const std::vector<std::vector<double>>& expected) {
  const double tolerance = actual.dtype() == DType::kBF16 ? 1.5 / 128 : 2e-6;
  std::int64_t different = 0, total = 0;
  for (std::int64_t r = 0; r < actual.rows(); ++r) {
    for (std::int64_t c = 0; c < actual.columns(); ++c, ++total) {
      const double want = expected[static_cast<std::size_t>(r)][static_cast<std::size_t>(c)];
      ASSERT_NEAR(actual.at(r, c), want, tolerance * std::abs(want) + 1e-6) << "row " << r << " column " << c;
      different += actual.at(r, c) != round_to(actual.dtype(), want);
    }
  }
  if (actual.dtype() == DType::kBF16) {
    EXPECT_LE(different, 2 + total / 50);
  }
}

// A matrix or vector in host memory, as if a checkpoint had stored it.
inline StoredPart stored(const Tensor& host) {
  const StoredFormat format = plain_format(host.dtype());
  const std::int64_t columns = host.rank() == 1 ? 1 : host.dim(1);
  return {.format = format,
          .data = host.as<const std::byte>(),
          .row_bytes = stored_bytes(format, host.rank() == 1 ? 1 : host.stride0()),
          .rows = host.dim(0),
          .columns = columns,
          .stored_rows = host.dim(0),
          .stored_columns = columns};
}

inline LinearSource source_of(const Tensor& weight, const Tensor& bias) {
  LinearSource source;
  source.dtype = weight.dtype();
  source.weight.push_back(stored(weight));
  if (!bias.empty()) source.bias.push_back(stored(bias));
  return source;
}

// `target` is a cap on the CPU's instruction sets ("" = its best), or the device of the build's other backend.
inline std::unique_ptr<Backend> make_test_backend(const std::string& target, int num_threads,
                                                  bool deterministic = false) {
  BackendOptions options;
  options.deterministic = deterministic;
  options.num_threads = num_threads;
  const bool cpu = kTestDevice == std::string_view("cpu") || target.empty();
  (cpu ? options.max_isa : options.device) = target;
  Result<std::unique_ptr<Backend>> backend = make_backend(options);
  CHECK_MSG(backend.ok(), backend.error().message.c_str());
  if (cpu) return std::move(backend).value();
  return std::make_unique<WaitingBackend>(std::move(backend).value());
}

class OpTest : public testing::TestWithParam<std::tuple<DType, const char*>> {
 protected:
  DType dtype() const { return std::get<0>(GetParam()); }
  // For tests of rows whose bits must not depend on the rows beside them: GPUs promise that only when asked to.
  std::unique_ptr<Backend> make_deterministic(int num_threads) const {
    return make_test_backend(std::get<1>(GetParam()), num_threads, true);
  }
  std::unique_ptr<Backend> backend_ = make_test_backend(std::get<1>(GetParam()), 2);
  std::unique_ptr<Backend> one_thread_ = make_test_backend(std::get<1>(GetParam()), 1);
};

// A cap above what the machine has means its best, so the list runs anywhere. Tests of another device have one entry.
#ifdef CAUDAL_TEST_DEVICE
inline const auto kTargets = testing::Values(CAUDAL_TEST_DEVICE);
inline const auto kTargetsOfRows = kTargets;
#else
inline const auto kTargets = testing::Values("baseline", "avx2", "avx512", "amx");
inline const auto kTargetsOfRows = testing::Values("baseline", "avx2", "avx512");
#endif
inline const auto kEveryOpCase = testing::Combine(testing::Values(DType::kF32, DType::kBF16), kTargets);

inline std::string op_case_name(const testing::TestParamInfo<std::tuple<DType, const char*>>& info) {
  return std::string(dtype_name(std::get<0>(info.param))) + "_" + std::get<1>(info.param);
}

}  // namespace caudal
