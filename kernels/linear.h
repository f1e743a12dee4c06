// Linear: the weight of y = x W^T + b, packed once at load for one device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tensor.h"

namespace caudal {

// Made by Backend::pack_linear; only that backend reads it.
class Linear {
 public:
  virtual ~Linear() = default;
  virtual std::int64_t in_features() const = 0;
  virtual std::int64_t out_features() const = 0;
  virtual DType compute_dtype() const = 0;  // of the x that it takes
  virtual std::size_t bytes() const = 0;    // device memory held
};

}  // namespace caudal
