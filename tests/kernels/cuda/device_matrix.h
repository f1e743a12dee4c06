// Matrices on the device for op tests: values in float64 on the host, rounded to the dtype; rows may lie apart, and
// what lies between them must survive.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "tests/kernels/cuda/device.h"
#include "tests/kernels/op_test.h"

namespace caudal::test {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

inline void encode(DType dtype, double value, std::byte* to) {
  const auto as_float = static_cast<float>(value);
  const auto as_int = static_cast<std::int32_t>(dtype == DType::kI32 ? value : 0);
  const __nv_bfloat16 as_bf16 = __float2bfloat16(as_float);
  const __half as_half = __float2half(as_float);
  switch (dtype) {
    case DType::kF32:
      std::memcpy(to, &as_float, 4);
      break;
    case DType::kI32:
      std::memcpy(to, &as_int, 4);
      break;
    case DType::kBF16:
      std::memcpy(to, &as_bf16, 2);
      break;
    case DType::kF16:
      std::memcpy(to, &as_half, 2);
      break;
  }
}
template <class T>
T decode_as(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
inline double decode(DType dtype, const std::byte* from) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<double>(decode_as<float>(from));
    case DType::kI32:
      return decode_as<std::int32_t>(from);
    case DType::kBF16:
      return static_cast<double>(__bfloat162float(decode_as<__nv_bfloat16>(from)));
    case DType::kF16:
      return static_cast<double>(__half2float(decode_as<__half>(from)));
  }
  return 0;
}

class DeviceMatrix {
 public:
  // `padding` elements after each row hold 77, which every reader must leave alone.
  DeviceMatrix(DType dtype, const Rows& rows, std::int64_t columns, std::int64_t padding = 0)
      : dtype_(dtype),
        num_rows_(std::ssize(rows)),
        columns_(columns),
        stride_(columns + padding),
        bytes_(encoded(rows)) {}

  Tensor tensor() const { return Tensor(bytes_.data(), dtype_, {num_rows_, stride_}).columns(0, columns_); }
  Tensor vector() const { return Tensor(bytes_.data(), dtype_, {columns_}); }
  Tensor reshaped(std::initializer_list<std::int64_t> shape) const { return Tensor(bytes_.data(), dtype_, shape); }

  Rows read() const {
    const std::vector<std::byte> bytes = bytes_.read();
    const auto size = static_cast<std::int64_t>(dtype_bytes(dtype_));
    Rows rows(static_cast<std::size_t>(num_rows_));
    for (std::int64_t r = 0; r < num_rows_; ++r) {
      for (std::int64_t c = 0; c < stride_; ++c) {
        const double value = decode(dtype_, bytes.data() + (r * stride_ + c) * size);
        if (c < columns_) rows[static_cast<std::size_t>(r)].push_back(value);
        if (c >= columns_) {
          EXPECT_EQ(value, 77) << "row " << r << ": padding was written";
        }
      }
    }
    return rows;
  }
  DType dtype() const { return dtype_; }

 private:
  std::vector<std::byte> encoded(const Rows& rows) const {
    const auto size = static_cast<std::int64_t>(dtype_bytes(dtype_));
    std::vector<std::byte> bytes(static_cast<std::size_t>(num_rows_ * stride_ * size));
    for (std::int64_t r = 0; r < num_rows_; ++r) {
      for (std::int64_t c = 0; c < stride_; ++c) {
        const double value = c < columns_ ? rows[static_cast<std::size_t>(r)][static_cast<std::size_t>(c)] : 77;
        encode(dtype_, value, bytes.data() + (r * stride_ + c) * size);
      }
    }
    return bytes;
  }

  DType dtype_;
  std::int64_t num_rows_, columns_, stride_;
  DeviceArray<std::byte> bytes_;
};

// Normal values as the dtype holds them.
inline Rows normal_rows(DType dtype, std::int64_t num_rows, std::int64_t columns, unsigned seed,
                        double deviation = 1.0) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0.0, deviation);
  Rows rows(static_cast<std::size_t>(num_rows));
  for (Row& row : rows) {
    for (std::int64_t c = 0; c < columns; ++c) row.push_back(round_to(dtype, static_cast<float>(normal(random))));
  }
  return rows;
}
inline Rows fill_rows(std::int64_t num_rows, std::int64_t columns, double value) {
  return Rows(static_cast<std::size_t>(num_rows), Row(static_cast<std::size_t>(columns), value));
}

// f32 to a few units in the last place; bf16 and f16 to one unit for each rounding of the definition, and nearly
// all equal.
inline void expect_close(DType dtype, const Rows& actual, const Rows& expected) {
  const double tolerance = dtype == DType::kBF16 ? 1.5 / 128 : dtype == DType::kF16 ? 1.5 / 1024 : 3e-6;
  std::size_t different = 0, total = 0;
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t r = 0; r < actual.size(); ++r) {
    ASSERT_EQ(actual[r].size(), expected[r].size());
    for (std::size_t c = 0; c < actual[r].size(); ++c, ++total) {
      const double want = expected[r][c];
      ASSERT_NEAR(actual[r][c], want, tolerance * std::abs(want) + 1e-6) << "row " << r << " column " << c;
      different += actual[r][c] != round_to(dtype, want);
    }
  }
  if (dtype != DType::kF32) {
    EXPECT_LE(different, 2 + total / 25);
  }
}

}  // namespace caudal::test
