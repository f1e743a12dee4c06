// Tensor: a copyable view of device memory with dtype and shape. It never owns (that is Buffer) and is passed by value
// or const reference; what it points at may be written. Read by device code, too: light.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "common/check.h"

namespace caudal {

enum class DType : std::uint8_t { kF32, kBF16, kF16, kI32 };

constexpr std::size_t dtype_bytes(DType dtype) { return dtype == DType::kF32 || dtype == DType::kI32 ? 4 : 2; }
const char* dtype_name(DType dtype);  // "f32", "bf16", "f16", "i32"

// Row-major. Inner dimensions are contiguous; dimension 0 may have a larger stride, so that columns
// of a matrix (q, k, v inside one qkv buffer) and row ranges are views too.
class Tensor {
 public:
  static constexpr int kMaxRank = 4;

  Tensor() = default;
  Tensor(void* data, DType dtype, std::initializer_list<std::int64_t> shape) : data_(data), dtype_(dtype) {
    CHECK(shape.size() >= 1 && shape.size() <= kMaxRank);
    for (std::int64_t dim : shape) shape_[rank_++] = dim;
    stride0_ = row_elements();
  }

  void* data() const { return data_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  DType dtype() const { return dtype_; }
  int rank() const { return rank_; }
  std::int64_t dim(int i) const { return shape_[i]; }
  std::int64_t stride0() const { return stride0_; }  // elements from row to row
  bool contiguous() const { return stride0_ == row_elements(); }
  bool empty() const { return data_ == nullptr; }

  // Elements in one row (product of all dimensions but the first), and in all.
  std::int64_t row_elements() const {
    std::int64_t n = 1;
    for (int i = 1; i < rank_; ++i) n *= dim(i);
    return n;
  }
  std::int64_t elements() const { return dim(0) * row_elements(); }
  std::size_t bytes() const { return elements() * dtype_bytes(dtype_); }

  // Rows [begin, begin + count) of dimension 0.
  Tensor rows(std::int64_t begin, std::int64_t count) const {
    CHECK(begin >= 0 && count >= 0 && begin + count <= dim(0));
    Tensor view = *this;
    view.data_ = offset(begin * stride0_);
    view.shape_[0] = count;
    return view;
  }

  // Columns [begin, begin + count) of a matrix.
  Tensor columns(std::int64_t begin, std::int64_t count) const {
    CHECK(rank_ == 2 && begin >= 0 && count >= 0 && begin + count <= dim(1));
    Tensor view = *this;
    view.data_ = offset(begin);
    view.shape_[1] = count;
    return view;
  }

  // A matrix [rows, n * width], rows possibly strided, seen as [rows, n, width]: heads inside a qkv buffer.
  Tensor split_columns(std::int64_t width) const {
    CHECK(rank_ == 2 && width > 0 && dim(1) % width == 0);
    Tensor view(data_, dtype_, {dim(0), dim(1) / width, width});
    view.stride0_ = stride0_;
    return view;
  }

  // Same elements, other shape; only of a contiguous tensor.
  Tensor reshaped(std::initializer_list<std::int64_t> shape) const {
    CHECK(contiguous());
    Tensor view(data_, dtype_, shape);
    CHECK(view.elements() == elements());
    return view;
  }

  std::string describe() const;  // "bf16[32, 896]"

 private:
  void* offset(std::int64_t elements) const {
    return static_cast<std::byte*>(data_) + elements * static_cast<std::int64_t>(dtype_bytes(dtype_));
  }

  void* data_ = nullptr;
  DType dtype_ = DType::kF32;
  int rank_ = 0;
  std::array<std::int64_t, kMaxRank> shape_{};
  std::int64_t stride0_ = 0;
};

}  // namespace caudal
