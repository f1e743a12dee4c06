// Messages of the named-dimension checks.
#include "kernels/expect.h"

#include <fmt/core.h>

namespace caudal {

void Expect::fail(const char* name, const Tensor& tensor, const std::string& message) const {
  const std::string text = fmt::format("{}: {} is {}, {}", op_, name, tensor.describe(), message);
  check_failed(__FILE__, __LINE__, op_, text.c_str());
}

Expect& Expect::shape(const char* name, const Tensor& tensor, std::initializer_list<DimRef> dims) {
  if (tensor.rank() != static_cast<int>(dims.size())) {
    fail(name, tensor, fmt::format("expected {} dimensions", dims.size()));
  }
  int i = 0;
  for (const DimRef& ref : dims) {
    Dim& dim = ref.dim;
    const std::int64_t actual = tensor.dim(i++);
    if (dim.value_ < 0) dim.value_ = actual;
    if (dim.value_ != actual) fail(name, tensor, fmt::format("expected {} = {}", dim.name_, dim.value_));
  }
  return *this;
}

Expect& Expect::dtype(const char* name, const Tensor& tensor, DType expected) {
  if (tensor.dtype() != expected) fail(name, tensor, fmt::format("expected {}", dtype_name(expected)));
  return *this;
}

Expect& Expect::contiguous(const char* name, const Tensor& tensor) {
  if (!tensor.contiguous()) fail(name, tensor, "expected contiguous rows");
  return *this;
}

Expect& Expect::that(bool condition, const char* message) {
  if (!condition) check_failed(__FILE__, __LINE__, op_, message);
  return *this;
}

}  // namespace caudal
