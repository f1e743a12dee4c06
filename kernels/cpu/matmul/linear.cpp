// Matmuls of the CPU: the choice of the kernel.
#include "kernels/cpu/matmul/linear.h"

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/expect.h"

namespace caudal {

Result<std::unique_ptr<Linear>> CpuBackend::pack_linear(OwnedTensor owned_weight, OwnedTensor owned_bias) {
  const Tensor &weight = owned_weight.tensor, &bias = owned_bias.tensor;
  Dim out_features("out_features"), in_features("in_features");
  Expect expect("pack_linear");
  expect.shape("weight", weight, {out_features, in_features});
  expect.that(computes_in(weight.dtype()), "this device does not compute in the dtype of the weight");
  if (!bias.empty()) expect.shape("bias", bias, {out_features}).dtype("bias", bias, weight.dtype());
  return CpuLinear::pack(weight, bias);
}

void compute(CpuContext& context, const op::Matmul& o) {
  const auto& weight = static_cast<const CpuLinear&>(*o.weight);  // made by pack_linear above
  if (o.x.dim(0) == 0) return;
  const bool amx = context.isa() >= Isa::kAmx && weight.compute_dtype() == DType::kBF16;
  amx ? linear_amx(context, o.x, weight, o.out) : linear_simd(context, o.x, weight, o.out);
}

}  // namespace caudal
