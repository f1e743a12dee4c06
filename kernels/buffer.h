// Buffer: the move-only owner of device memory that tensors are views of.
#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <utility>

#include "kernels/tensor.h"

namespace caudal {

// Device memory, freed by the backend that allocated it.
class Buffer {
 public:
  Buffer() = default;
  Buffer(void* data, std::size_t bytes, std::function<void(void*)> free)
      : data_(data), bytes_(bytes), free_(std::move(free)) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer(std::move(other)).swap(*this);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) free_(data_);
  }

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Tensor tensor(DType dtype, std::initializer_list<std::int64_t> shape) const {
    Tensor view(data_, dtype, shape);
    CHECK(view.bytes() <= bytes_);
    return view;
  }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(free_, other.free_);
  }

  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::function<void(void*)> free_;
};

// A tensor that may own its memory: with an empty buffer it is a view of memory that another owns.
struct OwnedTensor {
  OwnedTensor() = default;
  OwnedTensor(Tensor view) : tensor(view) {}  // implicit: a view is what most callers have
  OwnedTensor(Buffer memory, Tensor view) : buffer(std::move(memory)), tensor(view) {}

  Buffer buffer;
  Tensor tensor;
};

}  // namespace caudal
