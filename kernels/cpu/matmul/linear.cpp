// Matrix products of the CPU device: checks, and the choice of the kernel.
#include "kernels/cpu/matmul/linear.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/expect.h"

namespace caudal {

Result<std::unique_ptr<Linear>> CpuBackend::pack_linear(OwnedTensor owned_weight, OwnedTensor owned_bias) {
  const Tensor &weight = owned_weight.tensor, &bias = owned_bias.tensor;
  Dim out_features("out_features"), in_features("in_features");
  Expect expect("pack_linear");
  expect.shape("weight", weight, {out_features, in_features}).float_dtype("weight", weight);
  if (!bias.empty()) expect.shape("bias", bias, {out_features}).dtype("bias", bias, weight.dtype());
  return CpuLinear::pack(weight, bias);
}

void CpuBackend::linear(const Tensor& x, const Linear& weight, const Tensor& out) {
  const auto& packed = static_cast<const CpuLinear&>(weight);  // made by pack_linear above
  Dim num_tokens("num_tokens"), in("in_features", packed.in_features()), outs("out_features", packed.out_features());
  Expect expect("linear");
  expect.shape("x", x, {num_tokens, in}).dtype("x", x, packed.dtype()).shape("out", out, {num_tokens, outs});
  if (out.dtype() != DType::kF32) expect.dtype("out", out, x.dtype());
  if (*num_tokens == 0) return;
  const bool amx = context_->isa() >= Isa::kAmx && packed.dtype() == DType::kBF16;
  amx ? linear_amx(*context_, x, packed, out) : linear_simd(*context_, x, packed, out);
}

}  // namespace caudal
