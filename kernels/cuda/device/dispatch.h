// From a Tensor's dtype to a kernel's element type, and from rows to vectors. Host code of the .cu files.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/emulation/simt/simt.h"
#include "kernels/tensor.h"

namespace caudal::cuda {

// fn(std::type_identity<T>) with T the element type.
template <class F>
void dispatch_float(DType dtype, F fn) {
  switch (dtype) {
    case DType::kF32:
      return fn(std::type_identity<float>());
    case DType::kBF16:
      return fn(std::type_identity<__nv_bfloat16>());
    case DType::kF16:
      return fn(std::type_identity<__half>());
    case DType::kI32:
      break;
  }
  CHECK_MSG(false, "expected f32, bf16 or f16");
}

// Whether every row of each tensor starts at a multiple of 16 bytes and `columns` fill whole 16-byte vectors.
template <class T, class... Tensors>
bool fits_vectors(std::int64_t columns, const Tensors&... tensors) {
  constexpr std::int64_t kSize = 16 / static_cast<std::int64_t>(sizeof(T));
  const auto aligned = [](const Tensor& t) {
    return reinterpret_cast<std::uintptr_t>(t.data()) % 16 == 0 && t.stride0() % kSize == 0;
  };
  return columns % kSize == 0 && (aligned(tensors) && ...);
}

__host__ __device__ constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace caudal::cuda
