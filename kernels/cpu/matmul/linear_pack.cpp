// Packing happens once at load: conversion to the dtype of x, and a transpose into panels of 32 columns (layout in
// linear.h).
#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/matmul/linear.h"
#include "kernels/cpu/memory.h"
#include "kernels/half_float.h"

namespace caudal {
namespace {

// Where (k, column of the panel) lies in a panel.
std::int64_t panel_offset(float, std::int64_t k, std::int64_t column) { return k * kPanel + column; }
std::int64_t panel_offset(BF16, std::int64_t k, std::int64_t column) {
  const std::int64_t block = k / kBlockK, pair = k % kBlockK / 2, half = column / 16;
  return (((block * 2 + half) * 16 + pair) * 16 + column % 16) * 2 + k % 2;
}

// Blocks of 32 k, so that the strided writes of a block stay in the L1 cache.
template <typename T>
void pack_panel(const T* weight, std::int64_t stride, std::int64_t columns, std::int64_t in, T* panel) {
  for (std::int64_t begin = 0; begin < in; begin += kBlockK) {
    const std::int64_t end = std::min(in, begin + kBlockK);
    for (std::int64_t column = 0; column < columns; ++column) {
      const T* row = weight + column * stride;
      for (std::int64_t k = begin; k < end; ++k) panel[panel_offset(T{}, k, column)] = row[k];
    }
  }
}

}  // namespace

template <typename T>
void CpuLinear::pack_weight(const LinearSource& source) {
  T* packed = static_cast<T*>(weight_.data());
  if (out_ % kPanel != 0 || in_ % kBlockK != 0) std::memset(packed, 0, weight_.bytes());
  std::vector<T> rows(static_cast<std::size_t>(std::min(kPanel, out_) * in_));
  for (std::int64_t i = 0; i < num_panels(); ++i) {
    const std::int64_t columns = std::min(kPanel, out_ - i * kPanel);
    read_rows(source.weight, i * kPanel, columns, dtype_, reinterpret_cast<std::byte*>(rows.data()));
    pack_panel(rows.data(), in_, columns, in_, packed + i * panel_elements());
  }
}

// A bias is a value of the dtype of x, and added in f32.
void CpuLinear::pack_bias(const LinearSource& source) {
  auto* packed = static_cast<float*>(bias_.data());
  std::fill_n(packed, num_panels() * kPanel, 0.0F);
  if (total_rows(source.bias) == 0) return;
  std::vector<std::byte> values(static_cast<std::size_t>(out_) * dtype_bytes(dtype_));
  read_rows(source.bias, 0, out_, dtype_, values.data());
  widen(dtype_, values.data(), static_cast<std::size_t>(out_), packed);
}

Result<std::unique_ptr<Linear>> CpuLinear::pack(const LinearSource& source) {
  auto linear = std::make_unique<CpuLinear>(source.dtype, total_rows(source.weight), source.weight.front().columns);
  Result<Buffer> weight = allocate_host(linear->weight_bytes());
  if (!weight) return weight.error();
  Result<Buffer> bias = allocate_host(linear->bias_bytes());
  if (!bias) return bias.error();
  linear->weight_ = std::move(weight).value();
  linear->bias_ = std::move(bias).value();
  source.dtype == DType::kF32 ? linear->pack_weight<float>(source) : linear->pack_weight<BF16>(source);
  linear->pack_bias(source);
  return std::unique_ptr<Linear>(std::move(linear));
}

}  // namespace caudal
