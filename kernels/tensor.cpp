// Names of dtypes and tensors, for messages.
#include "kernels/tensor.h"

#include <fmt/core.h>

namespace caudal {

const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kBF16:
      return "bf16";
    case DType::kF16:
      return "f16";
    case DType::kI32:
      return "i32";
  }
  return "unknown";
}

std::string Tensor::describe() const {
  if (empty()) return "empty";
  std::string text = fmt::format("{}[", dtype_name(dtype_));
  for (int i = 0; i < rank_; ++i) text += fmt::format("{}{}", i == 0 ? "" : ", ", dim(i));
  return text + "]";
}

}  // namespace caudal
