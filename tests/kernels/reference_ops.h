// The row ops in float64: what the backends' results are compared with. `dtype` says where the definition
// rounds (see the comments in kernels/cpu); in f32 the rounding is too fine to matter.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/kernels/op_test.h"

namespace caudal::reference {

using Row = std::vector<double>;

inline Row rms_norm(DType dtype, const Row& x, const Row& weight, double eps) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  const double inverse = 1.0 / std::sqrt(sum / static_cast<double>(x.size()) + eps);
  Row out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = round_to(dtype, x[i] * inverse) * weight[i];
  return out;
}

inline Row add(DType dtype, const Row& x, const Row& y) {
  Row out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = round_to(dtype, x[i] + y[i]);
  return out;
}

// gate_up [2 * intermediate] -> [intermediate]
inline Row silu_and_mul(DType dtype, const Row& gate_up) {
  const std::size_t intermediate = gate_up.size() / 2;
  Row out(intermediate);
  for (std::size_t i = 0; i < intermediate; ++i) {
    const double gate = gate_up[i];
    out[i] = round_to(dtype, gate / (1.0 + std::exp(-gate))) * gate_up[intermediate + i];
  }
  return out;
}

// head [head_dim], norm [head_dim] or empty, cos and sin [head_dim / 2]
inline Row rope(DType dtype, Row head, const Row& norm, double eps, const Row& cos, const Row& sin) {
  if (!norm.empty()) {
    head = rms_norm(dtype, head, norm, eps);
    for (double& value : head) value = round_to(dtype, value);
  }
  const std::size_t half = head.size() / 2;
  Row out(head.size());
  for (std::size_t i = 0; i < half; ++i) {
    out[i] = head[i] * cos[i] - head[half + i] * sin[i];
    out[half + i] = head[half + i] * cos[i] + head[i] * sin[i];
  }
  return out;
}

}  // namespace caudal::reference
