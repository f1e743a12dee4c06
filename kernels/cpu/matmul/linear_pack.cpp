// Packing happens once at load: a transpose into panels of 32 columns (layout in linear.h).
#include <algorithm>
#include <cstring>

#include "kernels/cpu/matmul/linear.h"
#include "kernels/cpu/memory.h"

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
void CpuLinear::pack_weight(const Tensor& weight) {
  T* packed = static_cast<T*>(weight_.data());
  if (out_ % kPanel != 0 || in_ % kBlockK != 0) std::memset(packed, 0, weight_.bytes());
  for (std::int64_t i = 0; i < num_panels(); ++i) {
    const std::int64_t columns = std::min(kPanel, out_ - i * kPanel);
    pack_panel(weight.as<T>() + i * kPanel * weight.stride0(), weight.stride0(), columns, in_,
               packed + i * panel_elements());
  }
}

void CpuLinear::pack_bias(const Tensor& bias) {
  auto* packed = static_cast<float*>(bias_.data());
  std::fill_n(packed, num_panels() * kPanel, 0.0F);
  for (std::int64_t i = 0; !bias.empty() && i < out_; ++i) {
    packed[i] = dtype_ == DType::kF32 ? bias.as<float>()[i] : to_float(bias.as<BF16>()[i]);
  }
}

Result<std::unique_ptr<Linear>> CpuLinear::pack(const Tensor& weight, const Tensor& bias) {
  auto linear = std::make_unique<CpuLinear>();
  linear->dtype_ = weight.dtype();
  linear->out_ = weight.dim(0);
  linear->in_ = weight.dim(1);
  const auto elements = static_cast<std::size_t>(linear->num_panels() * linear->panel_elements());
  Result<Buffer> packed_weight = allocate_host(elements * dtype_bytes(weight.dtype()));
  if (!packed_weight) return packed_weight.error();
  Result<Buffer> packed_bias = allocate_host(static_cast<std::size_t>(linear->num_panels() * kPanel) * sizeof(float));
  if (!packed_bias) return packed_bias.error();
  linear->weight_ = std::move(packed_weight).value();
  linear->bias_ = std::move(packed_bias).value();
  weight.dtype() == DType::kF32 ? linear->pack_weight<float>(weight) : linear->pack_weight<BF16>(weight);
  linear->pack_bias(bias);
  return std::unique_ptr<Linear>(std::move(linear));
}

}  // namespace caudal
